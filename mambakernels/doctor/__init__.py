"""The doctor: what is wrong with our kernels and environments, why it matters, and the command that mends it.

    examine(["np-mkl"], root=Root.find()).findings

Facts are gathered once (`look`); each check is a function from them to findings; `mending` carries out what is safe.
"""

from mambakernels.doctor.examining import CHECKS, Examination, examine
from mambakernels.doctor.findings import Finding, Severity
from mambakernels.doctor.look import Look, Machine, gather
from mambakernels.doctor.mending import Mended

__all__ = ["CHECKS", "Examination", "Finding", "Look", "Machine", "Mended", "Severity", "examine", "gather"]
