"""Obtain one micromamba: try its places in order, verify what comes, and give it its name only then."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from mambakernels import errors, paths
from mambakernels.bootstrap import releases, unpacking
from mambakernels.bootstrap.installed import How, Installed, Spot
from mambakernels.bootstrap.releases import LATEST, Place, Release
from mambakernels.progress import Progress
from mambakernels.system import files, process

_STARTS_WITHIN = 60.0  # seconds; virus scanners look at a new executable before they let it start
_ABSENT = frozenset({403, 404, 410})  # another file of the same host may be there all the same
_WHO: dict[How, str] = {
    "known": "known to mambakernels",
    "published": "published beside it",
    "given": "as given",
}
_OTHER_WAYS = (
    f"Other ways: a mirror, with {releases.MIRROR_VARIABLE}; a file, folder or address of your own, with "
    "`mambakernels bootstrap --from`; or no micromamba at all, with the embedded engine: --engine rattler."
)


@dataclass(frozen=True)
class Asked:
    """One request for a micromamba; `explicitly` if a version was named, `patience` in seconds."""

    release: Release
    explicitly: bool
    sha256: str | None
    source: str | os.PathLike[str] | None
    patience: float
    progress: Progress

    def already(self, spot: Spot) -> Installed | None:
        """Return what is there, if it is what is asked for; a source that is named is always looked at."""
        if self.source is not None:
            return None
        return spot.satisfying(version=self.release.version if self.explicitly else None, sha256=self.sha256)


def obtain(asked: Asked, spot: Spot) -> Installed:
    """Try one place after another. A wrong hash ends it; what cannot be had, or not be read, leads to the next."""
    places = releases.places(asked.release, asked.source)
    spot.folder.mkdir(parents=True, exist_ok=True)
    search = _Search(asked, spot, patience=asked.patience / len({_host(place) for place in places}))
    for place in places:
        if made := search.attempt(place):
            return made
    raise search.failure()


def version_of(executable: Path, subdir: str) -> str | None:
    """Return what it says its version is, or None if it is not for this machine; EngineError if it does not run."""
    if subdir not in {paths.subdir(), paths.machine_subdir()}:
        return None
    try:
        answer = process.capture([executable, "--version"], timeout=_STARTS_WITHIN)
    except process.TimeoutExpired as error:
        raise _broken(executable, f"it says nothing within {_STARTS_WITHIN:.0f} s") from error
    except OSError as error:
        raise _broken(executable, error.strerror or str(error)) from error
    said = answer.stdout.decode("utf-8", "replace").strip()
    number = re.search(r"\d+\.\d+\.\d+\S*", said)
    if answer.returncode != 0 or number is None:
        heard = said or answer.stderr.decode("utf-8", "replace").strip() or "nothing"
        raise _broken(executable, f"status {answer.returncode}, and it says: {heard[:300]}")
    return number[0]


def _broken(executable: Path, why: str) -> errors.EngineError:
    return errors.EngineError(
        f"This micromamba does not run here: {why}.",
        where=str(executable),
        next_step=f"Is it for this machine, and may programs run from that folder? {_OTHER_WAYS}",
    )


@dataclass(frozen=True)
class _Answer:
    """What came instead of a micromamba."""

    source: str
    where: str
    answer: str


class _Search:
    """One way through the places: what each answered, which hosts to leave alone, and which hashes are expected."""

    def __init__(self, asked: Asked, spot: Spot, *, patience: float) -> None:
        self._asked = asked
        self._spot = spot
        self._patience = patience
        self._answers: list[_Answer] = []
        self._silent: set[str] = set()
        self._published: dict[str, str | errors.DownloadError | None] = {}

    def attempt(self, place: Place) -> Installed | None:
        """Return what was made of one place; None if it cannot be had there, which is noted."""
        host = _host(place)
        if host in self._silent:
            return None
        try:
            return self._make(place)
        except errors.HashMismatchError as error:
            told = [error.next_step or "", *self._told(), _OTHER_WAYS]
            raise errors.HashMismatchError(
                error.what, where=error.where, next_step="\n".join(filter(None, told))
            ) from error
        except errors.DownloadError as error:
            where = error.where if error.where and place.path is None else _shown(place)
            self._answers.append(_Answer(place.source, where, error.answer.rstrip(".")))
            if error.status not in _ABSENT:
                self._silent.add(host)
        finally:
            self._spot.fresh.unlink(missing_ok=True)
            self._spot.download.unlink(missing_ok=True)
        return None

    def failure(self) -> errors.DownloadError:
        """Return the error that names each source, what it answered, and the ways out; its first line stands alone."""
        distinct = {item.answer for item in self._answers}
        reason = distinct.pop() if len(distinct) == 1 else f"none of {len(self._answers)} addresses has it"
        lines = [f"{self._asked.release} cannot be had: {reason}.", *self._told()]
        return errors.DownloadError("\n".join(lines), next_step=_OTHER_WAYS, answer=reason)

    def _told(self) -> list[str]:
        """Return a line for each source and answer: a mirror is asked for more names than one wants to read."""
        lines: list[str] = []
        for (source, answer), alike in itertools.groupby(self._answers, key=lambda item: (item.source, item.answer)):
            first, *more = (item.where for item in alike)
            lines.append(f"- {source} ({first}{f', and {len(more)} other names there' if more else ''}): {answer}")
        return lines

    def _make(self, place: Place) -> Installed:
        expected = self._expected(place)
        there = self._spot.whole()
        if expected and there and there.sha256 in expected[0]:
            return there
        raw = place.path or self._download(place, expected)
        found = unpacking.take(raw, self._spot.fresh)
        how = self._verified(place, raw, found, expected)
        self._spot.fresh.chmod(0o755)
        said = version_of(self._spot.fresh, self._asked.release.subdir)
        version = self._version(found, said, how)
        return self._spot.place(
            Installed(self._spot.executable, version, self._asked.release.subdir, found, _shown(place), how)
        )

    def _download(self, place: Place, expected: tuple[frozenset[str], How] | None) -> Path:
        from mambakernels.bootstrap import download, transport

        if expected is None:
            raise errors.DownloadError(
                "no SHA-256 is known, and none is published beside it: give it with --sha256",
                where=_shown(place),
                status=404,
            )
        name = f"{self._asked.release} from {place.source if place.source != 'as given' else _host(place)}"
        policy = replace(transport.USUAL, patience=self._patience)
        download.fetch(
            place.address,
            self._spot.download,
            sha256=next(iter(expected[0])) if place.bare and len(expected[0]) == 1 else None,
            limit=unpacking.LARGEST,
            label=name,
            policy=policy,
            progress=self._asked.progress,
        )
        return self._spot.download

    def _expected(self, place: Place) -> tuple[frozenset[str], How] | None:
        """Return the hashes that are right, and who says so; None if nobody does."""
        asked, release = self._asked, self._asked.release
        if asked.sha256:
            return frozenset({asked.sha256}), "given"
        fixed = place.names_release or asked.explicitly
        if fixed and release.known:
            return frozenset({release.known}), "known"
        if published := self._published_for(place):
            return frozenset({published}), "published"
        known = releases.known(release.subdir)
        return (frozenset(known), "known") if known and not fixed and place.path is None else None

    def _published_for(self, place: Place) -> str | None:
        """Return the hash that is published for a place, asked for once; DownloadError if nobody answers."""
        if place.sums not in self._published:
            try:
                self._published[place.sums] = self._read_published(place.sums)
            except errors.DownloadError as error:
                self._published[place.sums] = errors.DownloadError(
                    f"mambakernels knows no hash of it, and the published one cannot be had: {error.answer}",
                    where=error.where,
                    status=error.status,
                )
        kept = self._published[place.sums]
        if isinstance(kept, errors.DownloadError):
            raise kept
        return kept

    def _read_published(self, sums: str) -> str | None:
        """Read 64 hexadecimal digits, alone or before a file's name."""
        from mambakernels.bootstrap import download, transport

        if "://" in sums:
            text = download.read_text(sums, policy=replace(transport.USUAL, patience=self._patience))
        else:
            text = Path(sums).read_text("utf-8", "replace") if Path(sums).is_file() else None
        first = text.split()[0].lower() if text and text.split() else ""
        return first if re.fullmatch(r"[0-9a-f]{64}", first) else None

    def _verified(self, place: Place, raw: Path, found: str, expected: tuple[frozenset[str], How] | None) -> How:
        """Return who vouches for what came; HashMismatchError if it is another file."""
        if expected is None:
            return "known" if found in releases.known(self._asked.release.subdir) else "recorded"
        # A hash beside an archive may be the archive's own, or, as in the releases, that of the executable in it.
        if found not in expected[0] and files.digest(raw) not in expected[0]:
            raise errors.HashMismatchError(
                f"This is not the expected micromamba: the executable's SHA-256 is {found}, "
                f"and it must be {' or '.join(sorted(expected[0]))} ({_WHO[expected[1]]}).",
                where=_shown(place),
                next_step="Nothing of it was kept.",
            )
        return expected[1]

    def _version(self, found: str, said: str | None, how: How) -> str:
        """Return the version to record; EngineError if it says another than was asked for."""
        release = self._asked.release
        if known := releases.version_with(found):
            return known
        named = self._asked.explicitly and release.version != LATEST
        if named and said and said != release.number and how in {"given", "recorded"}:
            raise _broken(self._spot.executable, f"it says it is {said}, and {release.number} was asked for")
        return release.version if named else said or "unknown"


def _host(place: Place) -> str:
    return place.address if place.path else urlsplit(place.address).netloc.rpartition("@")[2]


def _shown(place: Place) -> str:
    from mambakernels.bootstrap import transport

    return str(place.path) if place.path else transport.redacted(place.address)
