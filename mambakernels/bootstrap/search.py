"""The search for a micromamba: candidates in order, each verified before it gets its name."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mambakernels import errors, paths
from mambakernels.bootstrap import download, sources, unpacking
from mambakernels.bootstrap.installed import Destination, How, Installed
from mambakernels.bootstrap.sources import LATEST, Candidate, Release
from mambakernels.bootstrap.version import printed_version
from mambakernels.progress import Progress
from mambakernels.system import files

_ORIGINS: dict[How, str] = {"known": "known to mambakernels", "published": "published with it", "given": "as given"}
_OTHER_WAYS = (
    f"Other ways: a mirror, with {sources.MIRROR_VARIABLE}; a file, folder or address of your own, with "
    "`mambakernels bootstrap --from`; or no micromamba at all, with the embedded engine: --engine rattler."
)


class _Expected(NamedTuple):
    """The hashes that are right, and how they are known."""

    hashes: frozenset[str]
    how: How


class _Refusal(NamedTuple):
    """The answer of one candidate that is not a micromamba."""

    source: str
    host: str
    where: str
    answer: str


@dataclass
class Search:
    """One search for a release, to be installed at a destination.

    `exact`: a version was named. `sha256`: of the executable, or of the archive it comes in. `source`: the user's file,
    folder or address. `patience`: seconds until something answers, all candidates together.
    """

    release: Release
    destination: Destination
    exact: bool
    sha256: str | None
    source: str | os.PathLike[str] | None
    patience: float
    progress: Progress
    _refusals: list[_Refusal] = field(default_factory=list, init=False)

    def run(self) -> Installed:
        """Install the first available candidate; skip the others of a host that does not answer.

        HashMismatchError at once if one is not the expected file; DownloadError with all answers if none is available.
        """
        candidates = sources.candidates_for(self.release, self.source)
        self.patience /= len({candidate.host for candidate in candidates})
        silent: set[str] = set()
        for candidate in candidates:
            if candidate.host in silent:
                continue
            try:
                return self._install(candidate)
            except errors.HashMismatchError:
                raise
            except errors.DownloadError as error:
                where = error.where or _shown(candidate)
                self._refusals.append(_Refusal(candidate.source, candidate.host, where, error.answer.rstrip(".")))
                if error.status not in download.ABSENT:  # else another file may be there all the same
                    silent.add(candidate.host)
        raise self._failure()

    def _failure(self) -> errors.DownloadError:
        """Return the error that names each source, its answer, and the ways out; its first line stands alone."""
        distinct = {item.answer for item in self._refusals}
        hosts = ", ".join(dict.fromkeys(item.host for item in self._refusals))
        same = f"{distinct.pop()}: {hosts}" if len(distinct) == 1 else None
        reason = same or f"none of {len(self._refusals)} addresses has it"
        lines = [f"{self.release} is not available: {reason}.", *self._answers()]
        return errors.DownloadError("\n".join(lines), next_step=_OTHER_WAYS, answer=reason)

    def _answers(self) -> list[str]:
        """Return a line for each source and answer, however many names were tried there."""
        lines: list[str] = []
        for (source, answer), alike in itertools.groupby(self._refusals, key=lambda item: (item.source, item.answer)):
            first, *more = (item.where for item in alike)
            lines.append(f"- {source} ({first}{f', and {len(more)} other names there' if more else ''}): {answer}")
        return lines

    def _install(self, candidate: Candidate) -> Installed:
        """Install one candidate, unless the expected executable is there already; DownloadError if it has none."""
        expected = self._expected(candidate)
        there = self.destination.whole()
        if expected and there and there.sha256 in expected.hashes:
            return there
        with self.destination.staged() as folder:
            raw = candidate.path or self._downloaded(candidate, expected, folder / "download")
            fresh = folder / self.destination.name  # Windows starts it by its ending
            found = unpacking.take(raw, fresh)
            how = self._verified(candidate, raw, found, expected)
            fresh.chmod(0o755)
            version = self._version(found, version_of(fresh, self.release.subdir, where=_shown(candidate)), how)
            made = Installed(self.destination.executable, version, self.release.subdir, found, _shown(candidate), how)
            self.destination.put(fresh, made)
        return made

    def _downloaded(self, candidate: Candidate, expected: _Expected | None, target: Path) -> Path:
        if expected is None:
            raise errors.DownloadError(
                "no SHA-256 is known for this file, and none is published next to it; pass it with --sha256", status=404
            )
        download.fetch(
            candidate.address,
            target,
            limit=unpacking.LARGEST,
            label=f"{self.release} from {candidate.host if self.source else candidate.source}",
            patience=self.patience,
            progress=self.progress,
        )
        return target

    def _expected(self, candidate: Candidate) -> _Expected | None:
        """Return the hashes that are right; None if none is known."""
        if self.sha256:
            return _Expected(frozenset({self.sha256}), "given")
        fixed = candidate.names_release or self.exact
        if fixed and self.release.known:
            return _Expected(frozenset({self.release.known}), "known")
        if published := self._published(candidate.sums):
            return _Expected(frozenset({published}), "published")
        known = sources.known_hashes(self.release.subdir)
        return _Expected(known, "known") if known and not fixed and candidate.path is None else None

    def _published(self, sums: str) -> str | None:
        """Return the published hash, alone or before a file's name; DownloadError if the server does not answer."""
        if "://" not in sums:
            text = Path(sums).read_text("utf-8", "replace") if Path(sums).is_file() else None
        else:
            try:
                text = download.read_text(sums, patience=self.patience)
            except errors.DownloadError as error:
                why = f"mambakernels knows no hash of this file, and the published one cannot be read: {error.answer}"
                raise errors.DownloadError(why, where=error.where, status=error.status) from error
        first = text.split()[0].lower() if text and text.split() else ""
        return first if re.fullmatch(r"[0-9a-f]{64}", first) else None

    def _verified(self, candidate: Candidate, raw: Path, found: str, expected: _Expected | None) -> How:
        """Return what vouches for an executable with the hash `found`; HashMismatchError if it is another file."""
        if expected is None:
            return "known" if found in sources.known_hashes(self.release.subdir) else "recorded"
        # A hash next to an archive may be the archive's, or, as in the releases, that of the executable in it.
        if found not in expected.hashes and files.digest(raw) not in expected.hashes:
            raise errors.HashMismatchError(
                f"This is not the expected micromamba: the executable's SHA-256 is {found}, "
                f"and it must be {' or '.join(sorted(expected.hashes))} ({_ORIGINS[expected.how]}).",
                where=_shown(candidate),
                next_step="\n".join(["It was not installed.", *self._answers(), _OTHER_WAYS]),
            )
        return expected.how

    def _version(self, found: str, said: str | None, how: How) -> str:
        """Return the version to record; EngineError if the executable prints another version than the requested one."""
        if known := sources.version_with(found):
            return known
        named = self.exact and self.release.version != LATEST
        if named and said and said != self.release.number and how in {"given", "recorded"}:
            why = f"it says it is {said}, but {self.release.number} was requested"
            raise _broken(str(self.destination.executable), why)
        return self.release.version if named else said or "unknown"


def version_of(executable: Path, subdir: str, *, where: str) -> str | None:
    """Return the version that it prints, or None if it is not for this machine.

    EngineError, about the place `where`, if it does not run.
    """
    if subdir not in {paths.subdir(), paths.machine_subdir()}:
        return None
    try:
        return printed_version(executable)
    except ValueError as answer:
        raise _broken(where, f"it answers --version with {answer}") from answer


def _broken(where: str, why: str) -> errors.EngineError:
    return errors.EngineError(
        f"This micromamba does not run here: {why}.",
        where=where,
        next_step="Check that it is built for this machine and that programs may run from that folder. " + _OTHER_WAYS,
    )


def _shown(candidate: Candidate) -> str:
    return str(candidate.path) if candidate.path else download.redacted(candidate.address)
