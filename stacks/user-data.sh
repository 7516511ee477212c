#!/bin/bash
# Runs once on a new instance, at its first boot (Amazon Linux 2023, as root): installs Docker, reads the secrets, pulls
# the image, runs the service under systemd, and puts the instance in service once /health responds. What it prints goes
# to the stream `<instance>/boot` of the tier's log group. The console has the steps, and after a failure all of it.
# user-data.ts replaces the next line with the settings, and removes lines that are comments.
# @settings
set -euo pipefail
umask 077
export HOME=/root

instance=
launched=no
shipping=
state=/var/lib/millrace
program=/usr/local/sbin/millrace-instance
mkdir -p /etc/millrace "$state"
# The third descriptor is the console.
exec 3>&1 >>"$state/boot.log" 2>&1

# Retries a command every second until it succeeds: try <times> <command…>
try() {
  local left=$1
  shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 1
  done
}

# Names the step that begins, in the log and on the console: begin <step>
begin() {
  step=$1
  printf '%(%FT%TZ)T %s\n' -1 "$step"
  echo "$step" >&3
}

# Reads instance metadata by IMDSv2: metadata <path>
metadata() {
  local token
  token=$(curl -sSf --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    http://169.254.169.254/latest/api/token) || return
  curl -sSf --max-time 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

# Sends the lines of standard input to the instance's stream, each as an event. An argument of a program has at most
# 128 KiB, so only the last lines are sent.
send_lines() {
  local events
  events=$(tail -c 40000 | tr -c '\n -~' ' ' | grep . | tail -n 500 |
    sed 's/["\\]/\\&/g; s/.*/{"timestamp":'"$EPOCHSECONDS"'000,"message":"&"}/' | paste -sd ,) || return 0
  [ -e "$state/stream" ] ||
    timeout 20 aws logs create-log-stream --log-group-name "$log_group" --log-stream-name "$instance/boot" || true
  timeout 20 aws logs put-log-events --log-group-name "$log_group" --log-stream-name "$instance/boot" \
    --log-events "[$events]" >/dev/null || return
  : >"$state/stream"
}

# Sends what the log of the boot has gained since it was last sent.
send_boot_log() {
  local sent=0 size
  [ ! -e "$state/sent" ] || read -r sent <"$state/sent"
  size=$(stat -c %s "$state/boot.log")
  tail -c "+$((sent + 1))" "$state/boot.log" | head -c "$((size - sent))" | send_lines || return
  echo "$size" >"$state/sent"
}

# Sends the log of the boot as it grows, so that a boot that hangs can be read. `read` waits without a process.
ship_boot_log() {
  while true; do
    read -rt 5 <> <(:) || true
    send_boot_log || true
  done
}

# Prints the last lines of Docker and of the service.
print_journal() {
  journalctl --quiet --no-pager --output cat --lines 40 --unit docker --unit millrace || true
}

# Sends why the service ended. systemd calls this after each end, every 2 s if it fails at once; one a minute is enough.
report_end() {
  local last=0
  [ "$SERVICE_RESULT" != success ] || return 0
  [ ! -e "$state/reported" ] || read -r last <"$state/reported"
  [ "$((EPOCHSECONDS - last))" -ge 60 ] || return 0
  echo "$EPOCHSECONDS" >"$state/reported"
  { echo "The service ended: $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS." && print_journal; } | send_lines
}

# Whether the instance will terminate: its worker drains, or has ended.
is_terminating() {
  [ "$(metadata autoscaling/target-lifecycle-state)" = Terminated ] || metadata spot/instance-action >/dev/null
}

# Restarts a worker whose event loop does not run, and has its instance replaced if that does not help. A timer calls this
# 10 s after the last call. Without a response it takes 5 s, without a connection none: 6 failures are 60 to 90 s. Decoders
# are processes of their own, so the loop never stands still for seconds. After 10 s the worker's locks have expired, and
# other workers have its jobs. A restart waits for a drain (stop_seconds), and a start ends within 45 s: the next 12
# failures are 120 to 180 s.
check_liveness() {
  local failures=0 file=/run/millrace-failures
  if curl -sf --max-time 5 --output /dev/null "http://127.0.0.1:$port/live"; then
    rm -f "$file"
    return
  fi
  [ ! -e "$file" ] || read -r failures <"$file"
  failures=$((failures + 1))
  echo "$failures" >"$file"
  if [ "$failures" -ne 6 ] && { [ "$failures" -lt 18 ] || [ "$((failures % 6))" -ne 0 ]; }; then return; fi
  if is_terminating; then return; fi
  if [ "$failures" -eq 6 ]; then
    { echo 'The worker does not respond: it is restarted.' && print_journal; } | send_lines
    systemctl restart millrace
  else
    { echo 'The worker does not respond after a restart: the instance is replaced.' && print_journal; } | send_lines
    aws autoscaling set-instance-health --instance-id "$instance" --health-status Unhealthy \
      --no-should-respect-grace-period
  fi
}

# Completes the launch hook: finish CONTINUE puts the instance in service, finish ABANDON has it replaced.
finish() {
  aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$group" --instance-id "$instance" \
    --lifecycle-hook-name "$launch_hook" --lifecycle-action-result "$1"
}

# Sends the rest of the log, and abandons a failed launch. Without an instance id neither is possible: the console has the
# log, and the hook's own timeout abandons the launch.
end_boot() {
  local code=$?
  [ -z "$shipping" ] || kill "$shipping" || true
  if [ "$launched" = no ]; then
    echo "The boot failed with code $code in this step: $step."
    print_journal
    cat "$state/boot.log" >&3 || true
  fi
  [ -z "$instance" ] || send_boot_log || true
  if [ "$launched" = no ] && [ -n "$instance" ]; then try 5 finish ABANDON; fi
}
trap end_boot EXIT

# Writes the parameters under a path as lines NAME=value. Only root can read the pipes and files on the way, and nothing of
# it is printed.
write_secrets() {
  aws ssm get-parameters-by-path --path "$secrets_path" --with-decryption \
    --query 'Parameters[].[Name,Value]' --output text >/etc/millrace/parameters || return
  while IFS=$'\t' read -r name value; do
    printf '%s=%s\n' "${name##*/}" "$value"
  done </etc/millrace/parameters >/etc/millrace/secrets
  rm /etc/millrace/parameters
  # An empty result means a wrong path: every service has secrets.
  [ -s /etc/millrace/secrets ] || { echo "There are no parameters under $secrets_path." && return 1; }
}

pull_image() {
  aws ecr get-login-password | docker login --username AWS --password-stdin "${image%%/*}" &&
    docker pull --quiet "$image"
}

begin 'read the instance metadata'
region=$(try 30 metadata placement/region)
export AWS_DEFAULT_REGION=$region
group=$(try 5 metadata tags/instance/aws:autoscaling:groupName)
instance=$(try 5 metadata instance-id)
ship_boot_log &
shipping=$!
stage=$(try 5 metadata tags/instance/Stage)
secrets_path=/millrace/$stage/$tier

begin 'install Docker'
command -v docker >/dev/null || try 5 dnf install --quiet --assumeyes docker
begin 'start Docker'
systemctl enable --now docker

begin 'read the secrets'
try 10 write_secrets
printf '%s\n' "$environment" "AWS_REGION=$region" "INSTANCE=$instance" "STAGE=$stage" >/etc/millrace/environment
begin 'pull the image'
try 10 pull_image

begin 'start the service'
# What systemd runs later is part of this script.
{
  printf '#!/bin/bash\nset -uo pipefail\n'
  declare -p AWS_DEFAULT_REGION instance log_group port state
  declare -f metadata send_lines print_journal report_end is_terminating check_liveness
  echo "\"\$1\""
} >"$program"
chmod 700 "$program"
# The service exits with code 0 after a stop signal, or if its instance is about to terminate. Only then systemd does not
# restart it.
cat >/etc/systemd/system/millrace.service <<UNIT
[Unit]
Description=Millrace $tier
Requires=docker.service
After=docker.service network-online.target
StartLimitIntervalSec=0

[Service]
ExecStartPre=-/usr/bin/docker rm --force millrace
ExecStart=/usr/bin/docker run --name millrace --init --network host --read-only --tmpfs /tmp \\
  --user 1000:1000 --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=65536:65536 --memory ${memory_mib}m \\
  --env-file /etc/millrace/environment --env-file /etc/millrace/secrets --stop-timeout $stop_seconds \\
  --log-driver awslogs --log-opt awslogs-region=$region --log-opt awslogs-group=$log_group \\
  --log-opt awslogs-stream=$instance --log-opt mode=non-blocking --log-opt max-buffer-size=4m \\
  $image
ExecStop=/usr/bin/docker stop millrace
ExecStopPost=-$program report_end
TimeoutStopSec=$((stop_seconds + 10))
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
UNIT
cat >/etc/systemd/system/millrace-liveness.service <<UNIT
[Service]
Type=oneshot
ExecStart=$program check_liveness
UNIT
cat >/etc/systemd/system/millrace-liveness.timer <<UNIT
[Timer]
OnActiveSec=10
OnUnitInactiveSec=10
AccuracySec=1

[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
systemctl enable --now millrace

begin 'wait for /health'
try 120 curl -sf --max-time 2 --output /dev/null "http://127.0.0.1:$port/health"
# The load balancer's health check replaces instances of the API.
[ "$tier" = api ] || systemctl enable --now millrace-liveness.timer
begin 'put the instance in service'
try 5 finish CONTINUE
launched=yes
