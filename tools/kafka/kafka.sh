#!/usr/bin/env bash
# A single Apache Kafka node (KRaft: broker and controller in one process) on the loopback
# interface, for trying things and for the tests.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../verified.sh"

usage() {
  cat <<'TEXT'
usage: tools/kafka/kafka.sh start|stop|status [options]

start    starts a node and prints its bootstrap address once it answers; an existing folder is
         continued, a new one is formatted
stop     stops it: SIGTERM, after 20 seconds SIGKILL
status   says whether it runs; exit status 1 when it does not

  --dir DIR            data, log (kafka.log) and pid, default .kafka         [MOODSTREAM_KAFKA_DIR]
  --port PORT          for clients, default 9092; 0: the folder's earlier one    [MOODSTREAM_KAFKA_PORT]
                       or a free one
  --heap SIZE          the Java heap, default 512m                           [MOODSTREAM_KAFKA_HEAP]
  --advertised H:P     the address that clients are told to use, such as that of a proxy
  --listener NAME:PROTOCOL:HOST:PORT
                       one more listener for clients, such as SECURE:SASL_SSL:localhost:9094; its
                       certificates and users are settings (--property); repeatable
  --scram-user NAME:PASSWORD
                       a user for SCRAM-SHA-256 and SCRAM-SHA-512, made with a new folder; repeatable
  --property KEY=VALUE any broker setting, after those of this script; repeatable
  --foreground         become the broker: its pid is this script's, and a signal stops it
  --short-lived        compile less (C1 only): quicker to start, slower at full load

The jars come from tools/fetch-kafka.sh (.deps/kafka/libs), or KAFKA_LIBS names their folder.
TEXT
}

command=${1-}
case "$command" in
  start | stop | status) shift ;;
  -h | --help | help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

dir=${MOODSTREAM_KAFKA_DIR:-.kafka}
port=${MOODSTREAM_KAFKA_PORT:-9092}
heap=${MOODSTREAM_KAFKA_HEAP:-512m}
advertised='' foreground=no
properties=() scram_users=()
listeners='' protocols=''
java_flags=(-XX:+UseSerialGC -Djava.awt.headless=true -XX:+ExitOnOutOfMemoryError)
while [ $# -gt 0 ]; do
  case "$1" in
    --foreground) foreground=yes; shift; continue ;;
    --short-lived) java_flags+=(-XX:TieredStopAtLevel=1); shift; continue ;;
    --dir | --port | --heap | --advertised | --listener | --scram-user | --property) [ $# -ge 2 ] || die "$1 needs a value" ;;
    *) die "unknown option '$1'; see tools/kafka/kafka.sh --help" ;;
  esac
  case "$1" in
    --dir) dir=$2 ;;
    --port) port=$2 ;;
    --heap) heap=$2 ;;
    --advertised) advertised=PLAINTEXT://$2 ;;
    --listener)
      IFS=: read -r name protocol address <<<"$2"
      [ -n "$address" ] || die "--listener '$2' is not NAME:PROTOCOL:HOST:PORT"
      listeners+=",$name://$address" protocols+=",$name:$protocol"
      ;;
    --scram-user)
      for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
        scram_users+=(--add-scram "$mechanism=[name=${2%%:*},password=${2#*:}]")
      done
      ;;
    --property)
      case "$2" in
        advertised.listeners=*) advertised=${2#*=} ;;
        *=*) properties+=("$2") ;;
        *) die "--property '$2' is not KEY=VALUE" ;;
      esac
      ;;
  esac
  shift 2
done

# The pid of the node in $dir, or failure. A pid alone can be another process's by now.
running() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) && command_of "$pid" | grep -qF "kafka.Kafka $dir/server.properties" && echo "$pid"
}

command_of() {
  if [ -d /proc/self ]; then tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline"; else ps -ww -p "$1" -o command=; fi
}

# Ports below the range that outgoing connections take theirs from, so that a node that restarts
# finds its own still free.
free_ports() {
  python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    candidate = socket.socket()
    try:
        candidate.bind(("127.0.0.1", random.randrange(20000, 32000)))
        held.append(candidate)
    except OSError:
        candidate.close()
print(*(one.getsockname()[1] for one in held))
PYTHON
}

stop() {
  local pid tenths
  if ! pid=$(running); then
    echo "kafka: not running ($dir)"
    return
  fi
  kill -TERM "$pid" 2>/dev/null || true
  for ((tenths = 0; tenths < 200; tenths++)); do
    running >/dev/null || break
    sleep 0.1
  done
  if running >/dev/null; then kill -KILL "$pid" 2>/dev/null || true; fi
  while running >/dev/null; do sleep 0.1; done
  rm -f "$dir/pid"
  echo "kafka: stopped ($dir)"
}

write_properties() {
  # Clients, the node itself (transaction markers) and the controller use listeners of their own:
  # a proxy before the first one sees clients only.
  local internal=$1 controller=$2 property
  case "$advertised" in
    *INTERNAL://*) ;;
    *) advertised+=",INTERNAL://127.0.0.1:$internal" ;;
  esac
  cat <<TEXT
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,INTERNAL://127.0.0.1:$internal,CONTROLLER://127.0.0.1:$controller$listeners
advertised.listeners=$advertised$listeners
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$controller
log.dirs=$dir/data

# One node keeps one copy.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A group forms at once; a dead worker's transaction ends at its timeout, not up to 10 s later.
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# A node that was killed may register again after 3 s, not 9.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Topics are made by name, and kept whatever the time stamps of their records.
auto.create.topics.enable=false
delete.topic.enable=true
log.retention.ms=-1

# Sized for a small heap (the default takes 128 MiB of it for compacting).
log.cleaner.dedupe.buffer.size=16777216
TEXT
  # (bash 3 calls an empty array unset)
  for property in ${properties[@]+"${properties[@]}"}; do echo "$property"; done
}

start() {
  local pid libs=${KAFKA_LIBS:-$here/../../.deps/kafka/libs} ports
  [ -d "$libs" ] || die "no Kafka in $libs; fetch it with: tools/fetch-kafka.sh"
  command -v java >/dev/null || die "Java 17 is missing: apt-get install openjdk-17-jre-headless (Debian) or brew install openjdk (macOS)"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  if pid=$(running); then
    echo "kafka: already running, pid $pid ($dir)" >&2
    cat "$dir/bootstrap"
    return
  fi

  # An earlier start's inner ports are kept: the controller's is part of the quorum's state.
  if ! read -r -a ports 2>/dev/null <"$dir/ports"; then
    read -r -a ports <<<"$(free_ports 2)"
    echo "${ports[*]}" >"$dir/ports"
  fi
  if [ "$port" = 0 ] && [ -s "$dir/bootstrap" ]; then port=$(cut -d: -f2 "$dir/bootstrap"); fi
  if [ "$port" = 0 ]; then port=$(free_ports 1); fi
  if [ -z "$advertised" ]; then advertised="PLAINTEXT://127.0.0.1:$port"; fi
  write_properties "${ports[0]}" "${ports[1]}" >"$dir/server.properties"

  java_flags+=("-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$libs/*")
  if [ ! -f "$dir/data/meta.properties" ]; then
    rm -rf "$dir/data"
    local id
    id=$(python3 -c 'import base64, uuid; print("m" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22])')
    java -Xmx128m -XX:TieredStopAtLevel=1 "${java_flags[@]}" kafka.tools.StorageTool format \
      --cluster-id "$id" --standalone --config "$dir/server.properties" ${scram_users[@]+"${scram_users[@]}"} >"$dir/kafka.log" 2>&1 ||
      die "formatting $dir/data failed: $(tail -n 1 "$dir/kafka.log")"
  fi

  local launch=(java "-Xmx$heap" "${java_flags[@]}" kafka.Kafka "$dir/server.properties")
  if [ "$foreground" = yes ]; then
    echo $$ >"$dir/pid"
    answers $$ &
    exec "${launch[@]}" >>"$dir/kafka.log" 2>&1
  fi
  nohup "${launch[@]}" >>"$dir/kafka.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$dir/pid"
  if ! answers "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$dir/pid"
    exit 1
  fi
}

# Waits for the node with this pid and prints its address, or says why it does not come.
answers() {
  if python3 "$here/ready.py" "127.0.0.1:$port" "$1" 60; then
    echo "127.0.0.1:$port" | tee "$dir/bootstrap"
    return
  fi
  printf 'kafka.sh: the broker did not come up at 127.0.0.1:%s: %s (all of it: %s)\n' "$port" \
    "$(grep -hE 'ERROR|Exception|Error' "$dir/kafka.log" | tail -n 1 | cut -c1-300)" "$dir/kafka.log" >&2
  return 1
}

if [ -d "$dir" ]; then dir=$(cd "$dir" && pwd); fi
case "$command" in
  start) start ;;
  stop) stop ;;
  status)
    if pid=$(running); then
      echo "kafka: running at $(cat "$dir/bootstrap"), pid $pid ($dir)"
    else
      echo "kafka: not running ($dir)"
      exit 1
    fi
    ;;
esac
