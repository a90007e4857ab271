# shellcheck shell=bash
# Tells whether the process of a file is the service: its number may be that of another program by now.

# Prints the number that a file holds where that process is a `triage serve`; fails where it is not, or none runs.
serving() {
  local pid command
  pid=$(cat "$1" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
  command=$(ps -ww -o args= -p "$pid" 2>/dev/null || tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || return 1
  [[ $command == *"triage serve"* ]] && echo "$pid"
}
