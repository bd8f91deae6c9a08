"""What a template sees of a contact. Pure: a value that is empty is missing, so that `default` works."""

from __future__ import annotations

from postroad.campaigns.contacts.values import Person


def values_of(person: Person) -> dict[str, str]:
    """The person's fields by the names that templates use."""
    values = {
        "address": person.address,
        "email": person.address,
        "name": person.fullname,
        "fullname": person.fullname,
        "sex": person.sex,
        "birthday": person.birthday.isoformat() if person.birthday else "",
        "phone": person.phone,
        "area": person.area,
        **{f"var{number}": value for number, value in enumerate(person.variables, 1)},
    }
    return {name: value for name, value in values.items() if value}
