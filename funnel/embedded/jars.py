"""The jars of Kafka: fetched once from Maven Central by `jgo`, checked against a lock file, kept in the user's cache.

`python -m funnel.embedded.jars` writes the lock file anew after a change of `COORDINATES`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from funnel.embedded.errors import StackError, explain_os_errors
from funnel.embedded.settings import EmbeddedSettings

KAFKA_VERSION = "4.4.0"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka logs through slf4j 1.7; without this bridge to its own log4j its errors would go nowhere.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
)
LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
_DOWNLOADS_AT_ONCE = 6
_HTTP_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artifact of Maven Central."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.jar"


def locked_jars(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The jars named in the lock file, in class path order."""
    entries = tomllib.loads(lock_file.read_text(encoding="utf-8"))["dependencies"]
    return tuple(Jar(e["groupId"], e["artifactId"], e["version"], e["sha256"]) for e in entries)


def cache_folder() -> Path:
    """Where downloads are kept for every checkout of this user: `$XDG_CACHE_HOME/funnel` or `~/.cache/funnel`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "funnel"


def ensure_jars(report: Callable[[str], None]) -> tuple[Path, ...]:
    """Paths of all jars, each checked against the lock file; what is missing or damaged is downloaded.

    A file gets its final name only after its checksum matched, so an interrupted download is simply repeated.
    Raises `StackError` when Maven Central cannot be reached, sends something else, or the disk is full.
    """
    jars = locked_jars()
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    with explain_os_errors("fetching Kafka", folder):
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [jar for jar in jars if not _intact(folder / jar.file_name, jar.sha256)]
        if wanted:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as staging:
                _download(wanted, Path(staging), folder, report)
    return tuple(folder / jar.file_name for jar in jars)


def _download(jars: Iterable[Jar], staging: Path, folder: Path, report: Callable[[str], None]) -> None:
    jars = list(jars)
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        fetched = pool.map(lambda jar: _fetch(jar, staging), jars)
        for count, (jar, path) in enumerate(zip(jars, fetched, strict=True), start=1):
            os.replace(path, folder / jar.file_name)
            report(f"downloading Kafka {KAFKA_VERSION}: {count} of {len(jars)} files")


def _fetch(jar: Jar, staging: Path) -> Path:
    """Download `jar` under `staging` and check it."""
    from jgo.maven import MavenContext  # slow to import, and needed on the first start only

    mirror = EmbeddedSettings().maven_url
    origin, repositories = (mirror, {"mirror": mirror}) if mirror else ("Maven Central", None)
    maven = MavenContext(repo_cache=staging, timeout=_HTTP_TIMEOUT_S, remote_repos=repositories)
    artifact = maven.project(jar.group, jar.name).at_version(jar.version).artifact()
    try:
        path = artifact.resolve()
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise StackError(
            f"Could not download {jar.file_name} from {origin} ({_brief(error)}); check the network or "
            "HTTPS_PROXY and try again, or set FUNNEL_MAVEN_URL to a mirror."
        ) from error
    if not _intact(path, jar.sha256):
        raise StackError(
            f"{origin} sent a {jar.file_name} whose checksum differs from the lock file; "
            "try again, and check any proxy in between if it stays so."
        )
    return path


def _brief(error: BaseException) -> str:
    """The innermost cause of a network error, without the nest of wrappers a HTTP library puts around it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _intact(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def relock() -> None:
    """Resolve `COORDINATES` on Maven Central and write versions and checksums of every jar to the lock file."""
    from dataclasses import replace

    from jgo.env import LockFile
    from jgo.maven import Dependency, MavenContext
    from jgo.parse import Coordinate

    with tempfile.TemporaryDirectory() as repository:
        maven = MavenContext(repo_cache=Path(repository), timeout=_HTTP_TIMEOUT_S)
        locked: dict[tuple[str, str], Dependency] = {}
        for coordinate in COORDINATES:  # one by one: resolved together, log4j's own parent would pin kafka-clients
            wanted = maven.create_dependency(replace(Coordinate.parse(coordinate), scope="compile"))
            inputs, transitive = maven.resolver.resolve([wanted])
            for dependency in [*inputs, *transitive]:
                if dependency.scope in ("compile", "runtime"):
                    locked.setdefault((dependency.groupId, dependency.artifactId), dependency)
        LockFile.from_resolved_dependencies(list(locked.values()), environment_name="kafka").save(LOCK_FILE)


if __name__ == "__main__":
    relock()
