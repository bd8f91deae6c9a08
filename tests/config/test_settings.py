"""Settings that cannot be used are told in one sentence that names the key and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroad.config import BadSettings, load


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('hostname = "http://mail.example.com"', "hostname: .*mail.example.com"),
        ('hostname = ""', "hostname: .*mail.example.com"),
        ('database = "mysql://x"', 'database: must be "embedded"'),
        ('blobs = "ftp://x/y"', "blobs: .*s3://bucket"),
        ('blobs = "s3://"', "blobs: .*s3://bucket"),
        ('[listen]\nsmtp = "25"', r"listen\.smtp: '25' is no address: write \"0\.0\.0\.0:25\""),
        ('[listen]\nsmtp = "0.0.0.0:70000"', r"listen\.smtp: "),
        ('[listen]\nimap = "::1:143"', r"listen\.imap: .*\[::\]:25"),
        ('[listen]\nhttp = "http://x:80"', r"listen\.http: "),
        ('[delivery]\nresolver = "one.one"', r"delivery\.resolver: .*127\.0\.0\.1:53"),
        ('[delivery]\nrelay = "smtp.example.com:"', r"delivery\.relay: .*smtp\.example\.com:587"),
        ("no_such = 1", "no_such: there is no such setting"),
        ("[smtp]\nmax_size = 1", r"smtp\.max_size: there is no such setting"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(text + "\n")
    with pytest.raises(BadSettings, match=said) as told:
        load(file)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:25", "[::]:25", "*:25", ":25", "localhost:0", "", "[fe80::1%eth0]:25"]
)
def test_addresses_of_doors(tmp_path: Path, address: str) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(f'[listen]\nsmtp = "{address}"\n')
    assert load(file).listen.smtp == address


@pytest.mark.parametrize(
    "variable", ["POSTROAD_HOSTNAM", "POSTROAD_SMPT__MAX_SIZE_BYTES", "POSTROAD_SMTP__MAX_SIZE"]
)
def test_a_mistyped_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettings, match="there is no such setting"):
        load()


def test_paths_are_meant_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "etc" / "postroad.toml"
    file.parent.mkdir()
    file.write_text(
        'data_dir = "data"\nblobs = "large"\n[tls]\ncertificate = "c.pem"\nprivate_key = "/k.pem"\n'
        '[delivery]\nrelay_ca = "../ca.pem"\n'
    )
    monkeypatch.chdir("/")
    settings = load(file)
    assert settings.data_dir == file.parent / "data"
    assert settings.blob_location == str(file.parent / "large")
    assert settings.tls.certificate == file.parent / "c.pem"
    assert settings.tls.private_key == Path("/k.pem")
    assert settings.delivery.relay_ca == file.parent / ".." / "ca.pem"
    file.write_text('blobs = "s3://bucket/prefix"\n')
    assert load(file).blob_location == "s3://bucket/prefix"
