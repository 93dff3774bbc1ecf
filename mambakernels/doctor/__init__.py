"""The doctor: problems of our kernels and environments, why they matter, and the commands that repair them.

    doctor("np-mkl").findings

A survey gathers the facts once, each check is a function from it to findings, and `repair` carries out safe remedies.
"""

from mambakernels.doctor.examination import Examination, doctor
from mambakernels.doctor.repair import Repair
from mambakernels.numeric.rules import Finding

__all__ = ["Examination", "Finding", "Repair", "doctor"]
