"""Who the recipients of a batch are, and who of them is not to be written to any more; one statement a run.

A list is emptied and filled again while its mails are still being made, so removed contacts count as well;
of one that is gone for good only the address is known.
"""

from __future__ import annotations

from collections.abc import Sequence

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.sending.ledger import InHand
from postroad.campaigns.sending.verdicts import Known, suppressed, unsubscribed
from postroad.db.pool import Database

_PEOPLE = """
SELECT asked.place, c.fullname, c.sex, c.birthday, c.phone, c.area, c.vars, s.reason AS suppression,
       EXISTS (SELECT FROM unsubscription u
               WHERE u.customer_id = $1 AND u.list_id IN (0, c.list_id) AND u.address = lower(asked.address)
              ) AS is_unsubscribed
FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS asked(contact_id, address, place)
LEFT JOIN contact c ON c.customer_id = $1 AND c.id = asked.contact_id
LEFT JOIN suppression s ON s.customer_id = $1 AND s.address = lower(asked.address)
ORDER BY asked.place
"""


async def people_of(
    database: Database, customer_id: int, recipients: Sequence[InHand]
) -> list[Person | Known]:
    """Each recipient's person, or why nothing is sent there; in their order. Raises `DatabaseUnavailable`."""
    rows = await database.fetch(
        _PEOPLE,
        customer_id,
        [each.contact_id for each in recipients],
        [str(each.address) for each in recipients],
    )
    found: list[Person | Known] = []
    for recipient, row in zip(recipients, rows, strict=True):
        if row["is_unsubscribed"]:
            found.append(unsubscribed())
        elif row["suppression"] is not None:
            found.append(suppressed(f"suppressed: {row['suppression']}".rstrip(": ")))
        else:
            found.append(
                Person(
                    str(recipient.address),
                    row["fullname"] or "",
                    row["sex"] or "",
                    row["birthday"],
                    row["phone"] or "",
                    row["area"] or "",
                    tuple(row["vars"] or ()),
                )
            )
    return found
