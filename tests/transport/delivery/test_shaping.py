"""Rules of shaping: which one matches, what it counts together, and what is refused as a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postroad.config import BadSettings, ShapingRule, load
from postroad.transport.delivery.shaping import MAX_NAME, MAX_REMEMBERED, Shaping, host_of


def shaping(*rules: dict[str, Any]) -> Shaping:
    return Shaping([ShapingRule(**rule) for rule in rules], connections=10, mails_per_connection=1000)


QQ = {"name": "qq", "hosts": ["*.QQ.com"], "each": "rule", "mails_per_minute": 600, "connections": 5}


def test_without_a_rule_the_usual_limits_hold_for_each_site() -> None:
    limits = shaping(QQ).limits("mx1.far.example mx2.far.example", "far.example")
    assert (limits.bucket, limits.connections) == ("mx1.far.example mx2.far.example", 10)
    assert (limits.mails_per_connection, limits.mails_per_minute, limits.tls) == (1000, None, None)


def test_a_rule_by_host_takes_any_host_of_the_site() -> None:
    rules = shaping(QQ)
    for site in ("mx1.qq.com", "alt.example mx2.qq.com", "relay:smtp.qq.com:465"):
        limits = rules.limits(site, "anything.example")
        assert (limits.bucket, limits.mails_per_minute, limits.connections) == ("qq", 600, 5), site
    for site in ("qq.com", "mx.notqq.com", "mx1.qq.com.evil.example"):
        assert rules.limits(site).mails_per_minute is None, site


def test_the_first_rule_that_matches_holds() -> None:
    rules = shaping(
        {"name": "one", "domains": ["special.example"], "mails_per_minute": 1},
        {"name": "all", "hosts": ["*"], "mails_per_minute": 2},
        {"name": "never", "domains": ["special.example", "other.example"], "mails_per_minute": 3},
    )
    assert rules.limits("mx.example", "Special.example").mails_per_minute == 1
    assert rules.limits("mx.example", "other.example").mails_per_minute == 2


def test_what_is_counted_together() -> None:
    for each, buckets in (("rule", 1), ("site", 2), ("domain", 3)):
        rules = shaping({"name": "r", "hosts": ["*"], "each": each, "mails_per_minute": 5})
        met = [("a.mx", "one.example"), ("a.mx", "two.example"), ("b.mx", "three.example")]
        assert len({rules.limits(*each).bucket for each in met}) == buckets


def test_rules_of_one_site_do_not_share_a_bucket() -> None:
    rules = shaping(
        {"name": "one", "domains": ["special.example"], "mails_per_minute": 1},
        {"name": "all", "hosts": ["*"], "mails_per_minute": 2},
    )
    assert rules.limits("mx", "special.example").bucket != rules.limits("mx", "other.example").bucket


def test_mails_of_one_site_have_the_same_limits() -> None:
    rules = shaping(
        {"name": "one", "domains": ["special.example"], "tls": "verified"},
        {"name": "two", "domains": ["*.many.example"], "each": "domain", "mails_per_minute": 5},
        {"name": "all", "hosts": ["*.mx"], "each": "rule", "mails_per_minute": 2},
    )
    domains = ("special.example", "a.many.example", "b.many.example", "x.example", "y.example")
    seen = {
        limits.site: limits
        for site in ("a.mx", "b.mx", "other")
        for domain in domains
        if (limits := rules.limits(site, domain))
    }
    for site in ("a.mx", "b.mx", "other"):
        for domain in domains:
            limits = rules.limits(site, domain)
            assert seen[limits.site] == limits
    assert rules.limits("a.mx", "x.example").site == rules.limits("a.mx", "y.example").site
    assert rules.limits("a.mx", "x.example").site != rules.limits("b.mx", "x.example").site, "other hosts"


def test_long_names_are_cut_and_stay_apart() -> None:
    hosts = [" ".join(f"mx{number}.{letter * 60}.example" for number in range(10)) for letter in "ab"]
    longer = hosts[0] + "x"
    buckets = {shaping().limits(site).bucket for site in (*hosts, longer)}
    assert len(buckets) == 3 and all(len(bucket) <= MAX_NAME for bucket in buckets)


def test_what_is_remembered_is_bounded() -> None:
    rules = shaping({"name": "r", "domains": ["*.example"], "each": "domain", "mails_per_minute": 5})
    for number in range(MAX_REMEMBERED + 50):
        rules.limits("mx", f"{number}.example")
    assert len(rules._found) == MAX_REMEMBERED


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("mx.example", "mx.example"),
        ("relay:smart.example:587", "smart.example"),
        ("relay:192.0.2.1:25", "192.0.2.1"),
        ("relay:[2001:db8::1]:25", "[2001:db8::1]"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[ipv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_the_host_of_a_sites_name(name: str, host: str) -> None:
    assert host_of(name) == host


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('name = "a"', "names neither hosts nor domains"),
        ('name = "a"\nhosts = ["*qq.com"]', "is no pattern"),
        ('name = "a"\nhosts = ["mx.*.com"]', "is no pattern"),
        ('name = "a"\nhosts = ["*"]\nmails_per_minute = 0', "greater than 0"),
        ('name = "a"\nhosts = ["*"]\nmails_per_hour = 5', "mails_per_hour"),
        ('name = "a"\nhosts = ["*"]\n[[shaping]]\nname = "a"\nhosts = ["*"]', "two rules are called a"),
    ],
)
def test_what_is_no_rule_is_refused_with_words(rule: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(f"[[shaping]]\n{rule}\n")
    with pytest.raises(BadSettings, match=words):
        load(file)


def test_rules_are_read_from_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text('[[shaping]]\nname = "a"\nhosts = ["*.MX.example"]\nmails_per_minute = 5\n')
    (rule,) = load(file).shaping
    assert (rule.hosts, rule.mails_per_minute, rule.each) == (("*.mx.example",), 5, "site")
