#!/usr/bin/env bash
# Trains the networks of `cifar10` and `mnist`:
#
#   bash generators/run_campaign.sh start IMAGES   clone, install and plan once, then train
#   bash generators/run_campaign.sh status         count the finished runs
#   bash generators/run_campaign.sh stop           stop training; unfinished runs are lost
#   bash generators/run_campaign.sh merge IMAGES   add finished runs and their proxies to
#                                                  benchmark/data as published, and bring ceilings
#                                                  and README up to date
#
# IMAGES is the folder of the images. Networks are trained from a clone of one commit with its own
# virtual environment, so later changes of the tree cannot change a curve. The patch beside this file
# changes nothing but that networks are trained which that commit cannot evaluate. The clone is in
# $PEEPHOLE_CAMPAIGN, by default peephole-campaign beside the tree. A new clone plans the runs that
# the release lacks; the plan is used as long as the clone exists.
set -euo pipefail
COMMIT=8b4ec622c458c8b396974fdf2cc2e4426ddc355e
tree=$(cd "$(dirname "$0")/.." && pwd)
place=${PEEPHOLE_CAMPAIGN:-$(dirname "$tree")/peephole-campaign}
clone=$place/clone campaign=$place/campaign log=$place/log pid=$place/pid
python=${PYTHON:-python3}

prepare() {
  [ -e "$campaign/plan.jsonl" ] && return
  rm -rf "$clone"
  git clone -q --no-checkout "$tree" "$clone"
  git -C "$clone" -c advice.detachedHead=false checkout -q "$COMMIT"
  git -C "$clone" apply "$tree/generators/run_campaign.patch"
  "$python" -m venv "$clone/.venv"
  "$clone/.venv/bin/python" -m pip install -q -U pip
  "$clone/.venv/bin/python" -m pip install -q "$clone[generate,fast]"
  (cd "$place" && "$clone/.venv/bin/peephole" generate plan --images cifar10 --images mnist \
    --missing --data "$tree/benchmark/data" --campaign "$campaign")
}

running() { [ -e "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null; }

case "${1:-}" in
  start)
    images=$(cd "${2:?give the folder of the images}" && pwd)
    if running; then echo "the campaign is running already: $(cat "$pid")"; exit 1; fi
    mkdir -p "$place"
    prepare
    cd "$place"
    setsid nohup nice -n 19 "$clone/.venv/bin/peephole" generate run --campaign "$campaign" \
      --images-folder "$images" --workers "${WORKERS:-2}" >>"$log" 2>&1 </dev/null &
    echo $! >"$pid"
    echo "training in $place; its log is $log"
    ;;
  status)
    cd "$place"
    "$clone/.venv/bin/peephole" generate status --campaign "$campaign"
    if running; then tail -n 1 "$log"; else echo "not running"; fi
    ;;
  stop)
    if running; then kill -- "-$(cat "$pid")"; fi
    rm -f "$pid"
    ;;
  merge)
    images=$(cd "${2:?give the folder of the images}" && pwd)
    cd "$tree"
    [ -x .venv/bin/python ] && python=.venv/bin/python
    "$python" -m peephole generate merge --campaign "$campaign" --data benchmark/data
    for name in cifar10 mnist; do
      "$python" -m peephole generate proxies --images "$name" --data benchmark/data \
        --images-folder "$images"
    done
    "$python" -c 'from pathlib import Path; from benchmark.publish.checksums import published_line
print(published_line(Path("benchmark/data")))' >benchmark/publish/published.txt
    "$python" -m peephole data verify --data benchmark/data
    "$python" -m peephole board record  # new repeats change the ceilings
    "$python" -m peephole board build --readme README.md --output "$place/board.html"
    ;;
  *)
    sed -n '2,17s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
