"""The doctor: what is wrong with our kernels and environments, why it matters, and the command that mends it.

    doctor("np-mkl").findings

Facts are gathered once (`look`); each check is a function from them to findings; `mending` carries out what is safe.
"""

from mambakernels.doctor.examining import CHECKS, Examination, doctor
from mambakernels.doctor.findings import Finding, Severity
from mambakernels.doctor.look import Look, Machine, gather
from mambakernels.doctor.mending import Mended

__all__ = ["CHECKS", "Examination", "Finding", "Look", "Machine", "Mended", "Severity", "doctor", "gather"]
