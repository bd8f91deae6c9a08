"""The pages' languages: which one a visitor gets, its words, and how dates and sizes are written in it.

Catalogues are gettext `.po` files under `locale/`, compiled when the process starts. English is the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

LOCALES = Path(__file__).parent.parent / "locale"
NAMES = {"zh": "中文", "en": "English"}
TAGS = {"zh": "zh-CN", "en": "en"}
DEFAULT = "en"
MAX_HEADER = 500  # characters of Accept-Language that are looked at; browsers send under 100


@dataclass(frozen=True, slots=True)
class Language:
    """One language of the pages, with everything that depends on it."""

    code: str
    locale: Locale
    translations: NullTranslations

    @property
    def tag(self) -> str:
        """For the `lang` attribute (BCP 47)."""
        return TAGS[self.code]

    def say(self, message: str, **values: object) -> str:
        """Translate one sentence and fill in `%(name)s` values."""
        text = str(self.translations.gettext(message))
        return text % values if values else text

    def say_count(self, one: str, many: str, count: int, **values: object) -> str:
        """Translate a sentence with a number; `%(num)s` is the number."""
        return str(self.translations.ngettext(one, many, count)) % {"num": self.number(count), **values}

    def number(self, value: int) -> str:
        """Write a whole number with the language's grouping."""
        return str(format_decimal(value, locale=self.locale))

    def size(self, size_bytes: int) -> str:
        """Write a size in the unit people use for it (decimal, as mail programs and disks count)."""
        if size_bytes < 1000:
            return f"{size_bytes} B"
        value, unit = float(size_bytes), "B"
        for larger in ("KB", "MB", "GB", "TB"):
            value, unit = value / 1000, larger
            if value < 999.5:
                break
        pattern = "#,##0.#" if value < 10 else "#,##0"
        return f"{format_decimal(value, format=pattern, locale=self.locale)} {unit}"


class Languages:
    """All languages of the pages, loaded once."""

    def __init__(self, directory: Path = LOCALES) -> None:
        self._languages = {
            code: Language(
                code, Locale.parse("zh_Hans_CN" if code == "zh" else "en_GB"), _load(directory, code)
            )
            for code in NAMES
        }

    def get(self, code: str) -> Language:
        """The language of a code; English for any other."""
        return self._languages.get(code, self._languages[DEFAULT])

    def choose(self, chosen: str | None, account_language: str | None, accept_language: str) -> Language:
        """Pick by the visitor's choice, else the account's setting, else the browser (RFC 9110 12.5.4)."""
        for code in (chosen, account_language):
            if code in self._languages:
                return self._languages[code]
        return self.get(_by_browser(accept_language[:MAX_HEADER]))


def _load(directory: Path, code: str) -> NullTranslations:
    source = directory / code / "LC_MESSAGES" / "postroad.po"
    if not source.is_file():
        return NullTranslations()
    with source.open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled, domain="postroad")


def _by_browser(accept_language: str) -> str:
    best, best_weight = DEFAULT, 0.0
    for item in accept_language.split(","):
        tag, _, parameter = item.partition(";")
        code = tag.strip().lower().partition("-")[0]
        try:
            weight = float(parameter.partition("=")[2]) if parameter.strip() else 1.0
        except ValueError:
            continue
        if code in NAMES and weight > best_weight:
            best, best_weight = code, weight
    return best


def zone_named(name: str | None) -> tzinfo:
    """The time zone of an IANA name (from the browser, so anything may come); UTC when it is none."""
    if not name or len(name) > 64:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@dataclass(frozen=True, slots=True)
class Dates:
    """Writes moments for one visitor: language, time zone, and what time it is now."""

    language: Language
    zone: tzinfo
    now: datetime

    def when(self, moment: datetime) -> str:
        """As short as a list wants it: time today, weekday this week, day this year, else the date."""
        local, today = moment.astimezone(self.zone), self.now.astimezone(self.zone).date()
        locale = self.language.locale
        day = local.date()
        if day == today:
            return str(format_time(local, "HH:mm", tzinfo=self.zone, locale=locale))
        if day == today - timedelta(days=1):
            return self.language.say("Yesterday")
        if today - timedelta(days=7) < day < today:
            return str(format_date(day, "EEE", locale=locale))
        if day.year == today.year:
            return str(format_skeleton("MMMd", local, tzinfo=self.zone, locale=locale))
        return day.isoformat()

    def moment(self, moment: datetime) -> str:
        """In full: weekday, date and time."""
        local = moment.astimezone(self.zone)
        weekday = format_datetime(local, "EEE", tzinfo=self.zone, locale=self.language.locale)
        text = format_date(local.date(), "long", locale=self.language.locale)
        time = format_time(local, "HH:mm", tzinfo=self.zone, locale=self.language.locale)
        return f"{text} {weekday} {time}" if self.language.code == "zh" else f"{weekday}, {text}, {time}"

    def clock(self, moment: datetime) -> str:
        """The time of day."""
        return str(
            format_time(moment.astimezone(self.zone), "HH:mm", tzinfo=self.zone, locale=self.language.locale)
        )

    def span(self, start: datetime, end: datetime | None, all_day: bool) -> str:
        """An event's time. `all_day` ones are days in no zone, their end is exclusive (RFC 5545 3.6.1)."""
        first, last = self._day(start, all_day), self._day(end, all_day) if end else None
        if all_day and last is not None:
            last -= timedelta(days=1)
        day = self._long_day(first)
        if all_day:
            return day if last is None or last <= first else f"{day} – {self._long_day(last)}"
        if end is None:
            return f"{day} {self.clock(start)}"
        if last == first:
            return f"{day} {self.clock(start)} – {self.clock(end)}"
        return f"{day} {self.clock(start)} – {self._long_day(last or first)} {self.clock(end)}"

    def month(self, moment: datetime, all_day: bool = False) -> str:
        """The month's short name, for a calendar leaf."""
        return str(format_date(self._day(moment, all_day), "LLL", locale=self.language.locale))

    def day(self, moment: datetime, all_day: bool = False) -> str:
        """The day of the month."""
        return str(self._day(moment, all_day).day)

    def weekday(self, moment: datetime, all_day: bool = False) -> str:
        """The weekday's short name."""
        return str(format_date(self._day(moment, all_day), "EEE", locale=self.language.locale))

    def _day(self, moment: datetime, all_day: bool) -> date:
        return (moment if all_day else moment.astimezone(self.zone)).date()

    def _long_day(self, day: date) -> str:
        text = format_date(day, "long", locale=self.language.locale)
        weekday = format_date(day, "EEE", locale=self.language.locale)
        return f"{text} {weekday}" if self.language.code == "zh" else f"{weekday}, {text}"


def template_functions(dates: Dates) -> Mapping[str, object]:
    """What templates call to write words, dates and sizes."""
    language = dates.language

    def say(message: str, **values: object) -> str:
        return language.say(message, **values)

    return {
        "_": say,
        "ngettext": language.say_count,
        "size": language.size,
        "when": dates.when,
        "moment": dates.moment,
        "span": dates.span,
        "month": dates.month,
        "day": dates.day,
        "weekday": dates.weekday,
        "language": language.code,
        "language_tag": language.tag,
        "languages": tuple(NAMES.items()),
    }
