"""The datastore: an SQLAlchemy engine, and plain functions on a Session that do its work.

Flask calls such a function inside `with datastore.begin() as session:`; Quart calls `datastore.run(function, …)` in a
worker thread, one hop for a whole transaction: measured 1.6 times cheaper a request than AsyncSession, which hops at
every statement, and a lock held elsewhere never stalls the event loop.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from device_api._files import locked
from device_api.errors import NoSuchResourceError, UnavailableError
from device_api.model import INTERFACES, Base, Interface, SchemaVersion, factory_interfaces, interface_data
from device_api.settings import SettingsError, problem

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

SCHEMA_VERSION: Final = 1

_WAIT_S: Final = 5.0
"""How long a request waits for a free connection, or for another process's write lock, before it is a 503."""

_MIN_CONNECTIONS: Final = 32
"""At most; opened when needed. asyncio's worker threads are never more (concurrent.futures)."""


class Datastore:
    """Sessions on one database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine)

    @classmethod
    def open(cls, url: str | None, *, default: Path, lock: Path, threads: int) -> "Datastore":
        """Connect, and make and fill the tables unless that was done; workers that start at once take turns.

        url: SQLAlchemy's; None is an SQLite file at `default`. Raises SettingsError.
        """
        engine = _engine(URL.create("sqlite", database=str(default)) if url is None else _parsed(url), threads)
        try:
            with locked(lock):
                _prepare(engine)
        except SQLAlchemyError as error:
            engine.dispose()
            raise problem("datastore", f"{_shown(engine.url)}: {_cause(error)}") from error
        except SettingsError:
            engine.dispose()
            raise
        return cls(engine)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction: committed at the end, rolled back by an exception. Raises UnavailableError, logged."""
        try:
            with self._sessions.begin() as session:
                yield session
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            _log.error("the datastore cannot be reached: %s", _cause(error))
            raise UnavailableError("the datastore cannot be reached") from error

    def run(self, work: Callable[Concatenate[Session, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do a function's work in a transaction of its own. Raises UnavailableError and what the work raises."""
        with self.begin() as session:
            return work(session, *args, **kwargs)

    def close(self) -> None:
        """Close all connections that nobody uses at this moment."""
        self._engine.dispose()


def check(session: Session) -> None:
    """Ask the database for the least that it can do."""
    session.execute(text("SELECT 1"))


def read_interfaces(session: Session) -> dict[str, object]:
    """Return the container ietf-interfaces:interfaces, in the order of if-index."""
    return {"ietf-interfaces:interfaces": {"interface": [interface_data(row) for row in session.execute(INTERFACES)]}}


def read_interface(session: Session, name: str) -> dict[str, object]:
    """Return one entry of the list, as a list of one (RFC 7951 section 5.4). Raises NoSuchResourceError."""
    # Not every database takes NUL in a parameter, and no name has a control character (RFC 7950 section 9.4).
    row = session.execute(INTERFACES.where(Interface.name == name)).one_or_none() if name.isprintable() else None
    if row is None:
        raise NoSuchResourceError("there is no such interface")
    return {"ietf-interfaces:interface": [interface_data(row)]}


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        driver = parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise problem("datastore", f"not a database URL that can be used here: {_one_line(error)}") from error
    if driver.is_async:
        raise problem("datastore", f"{_shown(parsed)}: an asynchronous driver; name a synchronous one")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise problem("datastore", "SQLite in memory would be another database in each thread; name a file")
    return parsed


def _engine(url: URL, threads: int) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"connect_args": {"timeout": _WAIT_S}} if sqlite else {"pool_pre_ping": True}
    try:
        engine = create_engine(
            url,
            pool_size=max(threads, _MIN_CONNECTIONS),
            max_overflow=0,
            pool_timeout=_WAIT_S,
            **options,
        )
    except ModuleNotFoundError as error:
        raise problem("datastore", f"{_shown(url)}: its driver is not installed ({error.name})") from error
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # With WAL, NORMAL loses at most the last commits when the machine dies, never the database's integrity.
    connection.execute("PRAGMA synchronous=NORMAL")


def _prepare(engine: Engine) -> None:
    if engine.url.get_backend_name() == "sqlite":
        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))  # kept in the file: once is enough
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        version = session.scalar(select(SchemaVersion.version))
        if version is None:
            session.add_all(factory_interfaces())
            session.add(SchemaVersion(version=SCHEMA_VERSION))
        elif version != SCHEMA_VERSION:
            raise problem(
                "datastore",
                f"{_shown(engine.url)} has tables of version {version}, not {SCHEMA_VERSION}; name another database",
            )


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _cause(error: SQLAlchemyError) -> str:
    """Say what the driver said, without SQLAlchemy's several lines around it."""
    return _one_line(error.orig if isinstance(error, DBAPIError) and error.orig else error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
