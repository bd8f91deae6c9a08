"""The cache of answers: its ends, and its bounds by number and by size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postroad.dns.cache import ENTRY_BYTES, Cache


def test_a_value_is_good_until_its_end() -> None:
    cache: Cache[str, int] = Cache()
    cache.put("a", 1, until=10.0)
    assert cache.get("a", 4.0) == (1, 6.0)
    assert cache.get("a", 10.0) is None
    assert len(cache) == 0 and cache.size_bytes == 0


def test_what_was_not_used_longest_makes_room() -> None:
    cache: Cache[str, int] = Cache(max_entries=2)
    cache.put("a", 1, 10.0)
    cache.put("b", 2, 10.0)
    assert cache.get("a", 0.0)
    cache.put("c", 3, 10.0)
    assert cache.get("b", 0.0) is None and cache.get("a", 0.0) and cache.get("c", 0.0)


def test_one_value_larger_than_everything_is_not_kept() -> None:
    cache: Cache[str, int] = Cache(max_bytes=10_000)
    cache.put("a", 1, 10.0)
    cache.put("b", 2, 10.0, text_bytes=20_000)
    assert cache.get("b", 0.0) is None and cache.get("a", 0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3000), st.integers(0, 20), st.integers(0, 20)),
        max_size=60,
    )
)
def test_the_bounds_hold_whatever_comes(steps: list[tuple[str, int, int, int]]) -> None:
    cache: Cache[str, int] = Cache(max_entries=4, max_bytes=5000)
    sizes: dict[str, int] = {}
    for key, size, until, now in steps:
        cache.put(key, size, until, size)
        sizes[key] = size + ENTRY_BYTES
        found = cache.get(key, now)
        assert found == ((size, until - now) if until > now else None)
        assert len(cache) <= 4 and cache.size_bytes <= 5000
        present = [each for each in sizes if cache.get(each, -1.0) is not None]
        assert cache.size_bytes == sum(sizes[each] for each in present)
