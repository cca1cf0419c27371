#!/bin/sh
# again COMMAND...: repeats what another service is not ready for, 10 times with 15 s between; then its error is ours.
# Read by the hooks with '.'.

again() {
    for _ in 1 2 3 4 5 6 7 8 9; do
        "$@" && return
        sleep 15
    done
    "$@"
}
