"""What comes back is taken for what it is: 300 mails in all dialects, and whatever bytes else."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.results.classify import Classifier
from postroad.campaigns.results.reading import ReturnKind, read_return
from tests.campaigns.results.corpus import DIALECTS, corpus

WANTED = 0.95
CLASSIFIER = Classifier()


def test_the_corpus_is_read_right() -> None:
    samples = list(corpus())
    assert len(samples) >= 300
    assert len({sample.dialect for sample in samples}) == len(DIALECTS) >= 25
    assert {sample.language for sample in samples} == {"en", "zh", "ja", "de"}
    wrong = []
    for sample in samples:
        found = read_return(sample.content, CLASSIFIER)
        if (found.kind, found.failure) != (sample.kind, sample.failure):
            wrong.append(
                (sample.dialect, sample.kind, sample.failure, str(found.kind), found.failure, found.reply)
            )
    share = 1 - len(wrong) / len(samples)
    print(f"\n{len(samples)} mails in {len(DIALECTS)} dialects: {share:.1%} right")
    for each, count in Counter(wrong).most_common():
        print(count, each)
    assert share >= WANTED
    # Two mistakes are worse than others: an address lost for nothing, and a person's machine taken for a
    # bounce.
    assert not [
        each for each in wrong if each[1] in ("auto-reply", "delayed", "other") and each[3] == "bounce"
    ]


def test_of_several_recipients_in_one_report_the_worst_counts() -> None:
    sample = next(sample for sample in corpus() if sample.dialect == "postfix" and sample.failure == 1)
    content = sample.content.replace(
        b"Final-Recipient:",
        b"Final-Recipient: rfc822; a@b.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\nFinal-Recipient:",
        1,
    )
    found = read_return(content, CLASSIFIER)
    assert (found.kind, found.failure) == (ReturnKind.BOUNCE, 1)


@given(st.binary(max_size=2000))
def test_any_bytes_are_read(content: bytes) -> None:
    assert read_return(content, CLASSIFIER).kind in ReturnKind


@given(st.data())
def test_a_damaged_notice_is_read(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from([sample.content for sample in corpus(1)]))
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    put = data.draw(st.binary(max_size=20))
    assert read_return(content[:start] + put + content[end:], CLASSIFIER).kind in ReturnKind
