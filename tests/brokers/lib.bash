# What the scripts beside this file share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
brokers=$target/brokers

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root, or says that it cannot.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo -n "$@"
  else die "root is needed for: $*"
  fi
}

# A port of loopback nobody listens on. Chosen below the kernel's ephemeral range, so that no outgoing connection takes
# it between this look and the server's bind.
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  die "no free port found on 127.0.0.1"
}

# alive PIDFILE WORD: the recorded process runs and its command line holds WORD. A number that the kernel gave to another
# program since must never be signalled.
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2"
}

# stop_recorded PIDFILE WORD SECONDS: SIGTERM, then SIGKILL when the time is over.
stop_recorded() {
  local pid ticks=$(($3 * 10))
  alive "$1" "$2" || { rm -f "$1"; return 0; }
  pid=$(cat "$1")
  kill -TERM "$pid" 2>/dev/null || true
  while alive "$1" "$2" && [ "$ticks" -gt 0 ]; do sleep 0.1; ticks=$((ticks - 1)); done
  if alive "$1" "$2"; then kill -KILL "$pid" 2>/dev/null || true; fi
  rm -f "$1"
}

# await NAME PIDFILE WORD SECONDS LOG COMMAND…: until the command succeeds while the recorded process lives; else the log's
# tail and failure. A stranger that answers on the port is not our server.
await() {
  local name=$1 pidfile=$2 word=$3 seconds=$4 log=$5 end=$((SECONDS + $4))
  shift 5
  until alive "$pidfile" "$word" && "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$(cat "$pidfile")" 2>/dev/null; then
      say "$name did not come up (waited up to $seconds s); the end of $log:"
      tail -n 40 "$log" >&2 || true
      return 1
    fi
    sleep 0.2
  done
}
