"""`postroad doctor`: looks around the house and says what to do. Changes nothing, ends in bounded time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence

from postroad.cli.arguments import DeskArgument
from postroad.cli.checks.blobs import check_blobs
from postroad.cli.checks.certificates import check_certificate
from postroad.cli.checks.database import check_database
from postroad.cli.checks.dns import OurDomain, check_dns
from postroad.cli.checks.dsn import check_dsn
from postroad.cli.checks.finding import Finding
from postroad.cli.checks.machine import check_disks, check_secrets
from postroad.cli.checks.ports import check_ports
from postroad.cli.checks.relay import check_relay
from postroad.cli.desk import Desk
from postroad.cli.doctor_words import advice, found
from postroad.cli.output import Answer
from postroad.db.binaries import ClusterFailed
from postroad.directory.addresses.dns_records import dns_records

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


async def doctor(*, desk: DeskArgument) -> Answer:
    """Look at DNS, ports, TLS, clock, disk, database and secrets, and say what to do."""
    settings = desk.settings
    findings = [
        *check_dsn(settings.database, os.environ),
        *check_disks(settings),
        *await check_blobs(settings),
        *check_secrets(settings, desk.options.config),
        *check_certificate(settings, desk.clock()),
    ]
    domains: list[OurDomain] = []
    ports = asyncio.create_task(check_ports(settings))
    relay = asyncio.create_task(check_relay(settings))
    try:
        async with desk.dsn() as dsn:
            about_database, keys = await check_database(dsn, desk.clock)
        findings = [*about_database, *findings]
        domains = [OurDomain(name, dns_records(name, settings.hostname, keys[name])) for name in sorted(keys)]
    except ClusterFailed as error:
        findings.insert(
            0, Finding("database", "postgresql", "fail", "database-silent", {"error": str(error)})
        )
    findings += await ports
    findings += await relay
    findings += await check_dns(settings, domains)
    return _answer(desk, findings)


def _answer(desk: Desk, findings: Sequence[Finding]) -> Answer:
    counts = Counter(finding.status for finding in findings)
    data = {
        "summary": {status: counts[status] for status in ("ok", "warn", "fail")},
        "checks": [
            {
                "topic": finding.topic,
                "subject": finding.subject,
                "status": finding.status,
                "code": finding.word,
                "message": found(finding, desk.language),
                "advice": advice(finding, desk.language),
            }
            for finding in findings
        ],
    }
    lines: list[str] = []
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            lines.append(desk.say(f"topic-{topic}"))
        lines.append(f"  {MARKS[finding.status]} {finding.subject}: {found(finding, desk.language)}")
        if finding.status != "ok" and (what_to_do := advice(finding, desk.language)):
            lines.append(f"      → {what_to_do}")
    lines.append(desk.say("doctor-summary", ok=counts["ok"], warn=counts["warn"], fail=counts["fail"]))
    return Answer(data, lines, is_failure=counts["fail"] > 0)
