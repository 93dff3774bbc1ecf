"""One environment as several kernels; what they are called; how many threads they use."""

from __future__ import annotations

import json

import pytest
from support.kernelspecs import Make

from mambakernels import kernels
from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.kernels import KernelSpec
from mambakernels.kernels.blas import Processors, choose_threads
from mambakernels.kernels.registered import list_kernels
from mambakernels.kernels.registration import register_kernels as register
from mambakernels.numeric.threads import THREAD_VARIABLES

pytestmark = pytest.mark.usefixtures("jupyter")

SIX = dict.fromkeys(THREAD_VARIABLES, "4")


def env(spec: KernelSpec) -> dict[str, str]:
    found: dict[str, str] = json.loads((spec.path / "kernel.json").read_text())["env"]
    return found


def test_a_variant_is_another_kernel_of_the_same_environment(make: Make) -> None:
    environment = make()
    register(environment)
    (spec,) = register(environment, variant="Old CPU", env={"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"})
    assert (spec.name, spec.variant) == ("np-mkl-old-cpu", "Old CPU")
    assert spec.display_name == "np-mkl · Python 3.11.7 · MKL · Old CPU"
    assert env(spec)["MKL_ENABLE_INSTRUCTIONS"] == "SSE4_2"
    assert [item.name for item in list_kernels()] == ["np-mkl", "np-mkl-old-cpu"]
    assert {item.environment for item in list_kernels()} == {"np-mkl"}
    assert [item.name for item in kernels.unregister_all(environment)] == ["np-mkl", "np-mkl-old-cpu"]


def test_a_name_that_is_given_wins_over_the_variants(make: Make) -> None:
    (spec,) = register(make(), name="mine", variant="haswell")
    assert (spec.name, spec.display_name) == ("mine", "np-mkl · Python 3.11.7 · MKL · haswell")


@pytest.mark.parametrize("variant", ["", "  ", "--", "ü"])
def test_a_variant_needs_a_name(make: Make, variant: str) -> None:
    with pytest.raises(InvalidRequestError, match="variant"):
        register(make(), variant=variant)
    assert list_kernels() == []


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("plain", "plain"),
        ("{blas} of {environment}", "MKL of np-mkl"),
        ("{language} {version} · {threads} threads", "Python 3.11.7 · 4 threads"),
        ("{environment} · {variant} · {blas}", "np-mkl · MKL"),
        ("{kernel} {{braces}}", "np-mkl {braces}"),
        ("{variant}", "np-mkl"),
    ],
)
def test_a_display_name_may_have_fields(make: Make, title: str, shown: str) -> None:
    (spec,) = register(make(), display_name=title, threads=4)
    assert spec.display_name == shown


def test_parts_without_anything_known_are_left_out(make: Make) -> None:
    (spec,) = register(make("plain", packages={"python": "3.11.7"}), display_name="{blas} · {environment}")
    assert spec.display_name == "plain"


@pytest.mark.parametrize("title", ["{nothing}", "{", "{blas", "{0}", "{blas.upper}"])
def test_a_field_that_is_not_known_is_refused(make: Make, title: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be a display name") as caught:
        register(make(), display_name=title)
    assert "{environment}" in str(caught.value.next_step)
    assert list_kernels() == []


def test_threads_set_all_six_variables(make: Make) -> None:
    environment = make()
    (spec,) = register(environment, threads=4)
    assert {name: value for name, value in env(spec).items() if name in SIX} == SIX
    assert (spec.threads, spec.limit) == (4, None)
    assert kernels.refresh(environment) == [spec]


def test_threads_that_are_asked_for_override_the_environment_and_variables_override_both(make: Make) -> None:
    environment = make()
    folder = environment.prefix / "etc" / "conda" / "env_vars.d"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"OMP_NUM_THREADS": "1"}')
    assert env(register(environment)[0])["OMP_NUM_THREADS"] == "1"
    assert env(register(environment, threads=4)[0])["OMP_NUM_THREADS"] == "4"
    assert env(register(environment, threads=4, env={"OMP_NUM_THREADS": "3"})[0])["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("number", [-1, 99_999_999])
def test_a_number_of_threads_that_cannot_be_is_refused(make: Make, number: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{number} threads"):
        register(make(), threads=number)


def test_a_quota_limits_the_threads(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Processors, "here", lambda: Processors(64, 2.5))  # a fake of a container's quota
    (spec,) = register(make())
    assert {env(spec)[name] for name in THREAD_VARIABLES} == {"2"}
    assert (spec.threads, spec.limit, spec.limited_by) == (None, 2, "the CPU quota is 2.5 of 64 cores")


@pytest.mark.parametrize(
    ("asked", "blas", "cores", "quota", "session", "count", "variables"),
    [
        (None, "mkl", 64, None, {}, None, {}),
        (None, "mkl", 64, 64.0, {}, None, {}),
        (None, "mkl", 64, 4.0, {}, 4, SIX),
        (None, "mkl", 64, 0.5, {}, 1, dict.fromkeys(SIX, "1")),
        (None, "mkl", 64, 4.0, SIX, None, {}),
        (None, None, 64, 4.0, {"OMP_NUM_THREADS": "1"}, None, {}),
        (None, None, 64, 4.0, {"MKL_NUM_THREADS": "1"}, 4, {k: v for k, v in SIX.items() if k != "MKL_NUM_THREADS"}),
        (None, "blis", 4, None, {}, 4, {"BLIS_NUM_THREADS": "4"}),
        (None, "blis", 4, None, {"OMP_NUM_THREADS": "2"}, None, {}),
        (None, "blis", 4, None, {"BLIS_NUM_THREADS": "2"}, None, {}),
        (0, "blis", 4, 2.0, {}, None, {}),
        (4, "blis", 64, 2.0, {"OMP_NUM_THREADS": "1"}, 4, SIX),
    ],
)
def test_what_is_decided(  # noqa: PLR0917 (a row of the table)
    asked: int | None,
    blas: str | None,
    cores: int,
    quota: float | None,
    session: dict[str, str],
    count: int | None,
    variables: dict[str, str],
) -> None:
    decided = choose_threads(asked, blas, processors=Processors(cores, quota), session=session)
    assert (decided.count, dict(decided.variables)) == (count, variables)
    assert decided.asked == (asked is not None)
    assert bool(decided.why) == (count is not None and asked is None)


RAW = {"argv": ["R"], "language": "cpp"}


def test_kernels_of_a_language_we_do_not_know_keep_their_titles(make: Make) -> None:
    shipped = {f"xcpp{year}": {**RAW, "display_name": f"C++{year}"} for year in (17, 20)}
    found = register(make("cpp", shipped))
    assert [spec.display_name for spec in found] == ["cpp · C++17", "cpp · C++20"]  # no word of a BLAS they do not use


def test_a_kernel_that_is_alone_has_the_title_that_was_asked_for(make: Make) -> None:
    (spec,) = register(make("stats", {"ir": {"argv": ["R"], "language": "R"}}), display_name="My stats")
    assert spec.display_name == "My stats"


def test_what_the_environment_no_longer_ships_goes_when_it_is_registered_again(make: Make) -> None:
    environment = make("mixed", {"python3": {**RAW, "language": "python"}, "ir": {**RAW, "language": "R"}})
    register(environment)
    (other,) = register(make("other"))
    (environment.prefix / "share" / "jupyter" / "kernels" / "ir" / "kernel.json").unlink()
    assert [spec.name for spec in kernels.refresh(environment)] == ["mixed"]
    assert [spec.name for spec in list_kernels()] == ["mixed", other.name]


def test_two_kernelspecs_with_one_name_are_refused(make: Make) -> None:
    with pytest.raises(KernelError, match="both be called 'one-a-b'"):
        register(make("one", {"a b": RAW, "a-b": RAW}))
    assert list_kernels() == []


@pytest.mark.parametrize(
    ("packages", "advice"),
    [
        ({"python": "3.12"}, "register empty --add-ipykernel"),
        ({"python": "3.12", "r-base": "4.4"}, "For Python: mambakernels install empty ipykernel"),
        ({"r-base": "4.4"}, "For R: mambakernels install empty r-irkernel"),
        ({"octave": "9"}, "For Octave: mambakernels install empty xeus-octave"),
        ({"julia": "1.11"}, "julia -e"),
    ],
)
def test_an_environment_without_a_kernel_says_what_to_add(make: Make, packages: dict[str, str], advice: str) -> None:
    with pytest.raises(KernelError, match="has no kernel") as caught:
        register(make("empty", {}, packages))
    assert advice in str(caught.value.next_step)


def test_packages_of_the_session_stay_out_of_r(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_LIBS_USER", "/somewhere")
    environment = make("stats", {"ir": {"argv": ["R"], "language": "R"}}, {"r-base": "4.4"})
    script = environment.prefix / "etc" / "conda" / "activate.d" / "r.sh"
    script.parent.mkdir(parents=True)
    script.write_text("unset R_LIBS_USER")  # as conda-forge's r-base does
    (spec,) = register(environment)
    assert (env(spec)["R_LIBS"], env(spec)["R_LIBS_USER"]) == ("", "")
    assert "R_LIBS" not in env(register(make())[0])
