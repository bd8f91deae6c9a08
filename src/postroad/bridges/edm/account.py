"""`account.php`: the customer and its service (chapter 1 of the document)."""

from __future__ import annotations

from postroad.bridges.edm.answers import Answer, document, elements, nest
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.campaigns.credits import Credits

FOREVER = "2099-12-31"  # the last day of a service without end, for clients that read a date


class AccountScript:
    """Answers `account.php`."""

    def __init__(self, credits: Credits) -> None:
        self._credits = credits

    def calls(self) -> Script:
        """By `do`."""
        return {
            "customer-info": Handler(self._customer, reads=True),
            "service-info": Handler(self._service, reads=True),
        }

    async def _customer(self, call: Call) -> Answer:  # 1.1
        customer = call.customer
        return document(
            nest(
                "customer",
                elements(
                    id=customer.id,
                    username=customer.username,
                    company=customer.company,
                    contact=customer.contact,
                    phone=customer.phone,
                    mobile=customer.mobile,
                    email=customer.email,
                    im=customer.im,
                    address=customer.address,
                ),
            )
        )

    async def _service(self, call: Call) -> Answer:  # 1.2
        customer = call.customer
        volume = await self._credits.volume(customer.id)
        return document(
            nest(
                "service",
                elements(
                    id=customer.id,
                    service_status="enabled" if customer.is_enabled else "disabled",
                    service_type=customer.service_type,
                    send_type=customer.send_type,
                    beginning_date=customer.begins_on.isoformat(),
                    expiration_date=customer.ends_on.isoformat() if customer.ends_on else FOREVER,
                    qty_available=volume.left,
                    qty_buytotal=volume.total,
                ),
            )
        )
