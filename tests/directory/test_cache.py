"""The cache: bounded, timely, and consistent with its index whatever is done to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postroad.directory.cache import DependentCache

KEYS = st.integers(0, 9)
NAMES = st.sampled_from(["a", "b", "c"])
STEPS: st.SearchStrategy[list[tuple[str, int | str, list[str]]]] = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.lists(NAMES, max_size=3)),
        st.tuples(st.just("void"), NAMES, st.just([])),
        st.tuples(st.just("tick"), st.integers(1, 7), st.just([])),
        st.tuples(st.just("get"), KEYS, st.just([])),
        st.tuples(st.just("clear"), st.just(0), st.just([])),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_answers_like_a_plain_table(steps: list[tuple[str, int | str, list[str]]]) -> None:
    now = 0.0
    cache: DependentCache[int, str] = DependentCache(4, 10, lambda: now)
    model: dict[int, tuple[float, list[str]]] = {}
    for step, operand, names in steps:
        if step == "put":
            assert isinstance(operand, int)
            cache.put(operand, "value", names, cache.generation)
            model.pop(operand, None)
            while len(model) >= 4:
                del model[next(iter(model))]
            model[operand] = (now + 10, names)
        elif step == "void":
            cache.void(str(operand))
            model = {key: entry for key, entry in model.items() if operand not in entry[1]}
        elif step == "tick":
            now += float(operand)
        elif step == "clear":
            cache.clear()
            model.clear()
        else:
            assert isinstance(operand, int)
            if operand in model and model[operand][0] <= now:
                del model[operand]
            assert (cache.get(operand) is not None) == (operand in model)
        assert len(cache) == len(model) <= 4
        assert sum(len(keys) for keys in cache._dependents.values()) == sum(
            len(set(entry[1])) for entry in model.values()
        )


def test_what_was_asked_before_a_change_is_not_kept() -> None:
    cache: DependentCache[str, int] = DependentCache(4, 10, lambda: 0.0)
    generation = cache.generation
    cache.void("something else")
    cache.put("key", 1, ["a"], generation)
    assert cache.get("key") is None
