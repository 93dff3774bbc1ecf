# Starts a kernel: becomes (exec) the environment's program, so that Jupyter's child is the kernel itself. If that
# program is gone or cannot run, becomes the stand-in instead: a kernel that shows the reason in the notebook.
#
#     bash -p start.sh STAND_IN PROGRAM WORDS...
#
# -p: bash then runs no $BASH_ENV, ignores $SHELLOPTS, and passes functions of the session on without defining them. It
# also passes on variables with odd names (sh, where there is no bash, may lose them).
# Nothing is assigned on the way to a healthy kernel: it could be one of the kernel's variables.
# macOS takes DYLD_* from a shell of the system when it starts; the kernelspec has these a second time, as assignments.
[ -z "${MAMBAKERNELS_DYLD-}" ] || eval "export $MAMBAKERNELS_DYLD; unset MAMBAKERNELS_DYLD"
become() { shift; exec "$@"; }
shopt -s execfail 2>/dev/null # bash goes on after an exec that failed; other shells have no such option
[ -f "$2" ] && [ -s "$2" ] && [ -x "$2" ] && become "$@"

printf '%s\n' "mambakernels: the program of this kernel cannot be started: $2" \
    "If its environment was moved: mambakernels register NEW_PATH. If it was removed: mambakernels prune." >&2
stand_in=$1
shift
unset PYTHONHOME PYTHONPATH PYTHONNOUSERSITE LD_PRELOAD # set for the environment; they would hide the stand-in's packages
[ -z "${LD_LIBRARY_PATH-}${DYLD_LIBRARY_PATH-}" ] || "$stand_in" -c 'import mambakernels.kernels.standin' 2>/dev/null ||
    unset LD_LIBRARY_PATH DYLD_LIBRARY_PATH
[ -x "$stand_in" ] && exec "$stand_in" -c \
    'import sys; sys.path[:] = filter(None, sys.path); import mambakernels.kernels.standin as kernel; kernel.main()' \
    "${0%/*}" '' "$@"
printf '%s\n' "mambakernels itself is gone, so the notebook cannot show this: $stand_in" \
    "Install it again, then: mambakernels register NAME" >&2
exit 1
