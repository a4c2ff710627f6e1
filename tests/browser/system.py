"""What the page's tests need of a system, whichever it is: the fake below `fake_api.py`, or a real one."""

from typing import Protocol

import msgspec


class KnownAd(msgspec.Struct, frozen=True):
    """An ad that the system knows."""

    ad_id: str
    name: str


class System(Protocol):
    """A system that serves the page, with at least two ads and a key that sees them.

    Before a test it has counted some clicks of the first ad, none of the second, and fewer of any other.
    """

    url: str
    key: str
    click_url: str

    @property
    def ads(self) -> list[KnownAd]:
        """Those whose names the tests read."""
        ...

    def click(self, ad_id: str, user_id: str) -> None:
        """Make one click now. It may take a second until the API shows it."""
        ...
