#!/bin/bash
# Runs once on a new instance, at its first boot (Amazon Linux 2023, as root): installs Docker, reads the secrets, pulls
# the image, runs the service under systemd, and puts the instance in service once /health responds.
# user-data.ts replaces the next line with the settings.
# @settings
set -euo pipefail
umask 077
export HOME=/root

instance=
launched=no

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

# Reads instance metadata by IMDSv2: metadata <path>
metadata() {
  local token
  token=$(curl -sSf --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    http://169.254.169.254/latest/api/token) || return
  curl -sSf --max-time 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

# Completes the launch hook: finish CONTINUE puts the instance in service, finish ABANDON has it replaced.
finish() {
  aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$group" --instance-id "$instance" \
    --lifecycle-hook-name "$launch_hook" --lifecycle-action-result "$1"
}

# Abandons a failed launch. Without an instance id this is not possible, and the hook's own timeout abandons it.
abandon_launch() {
  if [ "$launched" = no ] && [ -n "$instance" ]; then try 5 finish ABANDON; fi
}
trap abandon_launch EXIT

# Writes the parameters under a path as lines NAME=value. Only root can read the pipes and files on the way.
write_secrets() {
  aws ssm get-parameters-by-path --path "$secrets_path" --with-decryption \
    --query 'Parameters[].[Name,Value]' --output text >/etc/millrace/parameters || return
  while IFS=$'\t' read -r name value; do
    printf '%s=%s\n' "${name##*/}" "$value"
  done </etc/millrace/parameters >/etc/millrace/secrets
  rm /etc/millrace/parameters
  # An empty result means a wrong path: every service has secrets.
  [ -s /etc/millrace/secrets ]
}

pull_image() {
  aws ecr get-login-password | docker login --username AWS --password-stdin "${image%%/*}" &&
    docker pull --quiet "$image"
}

region=$(try 30 metadata placement/region)
export AWS_DEFAULT_REGION=$region
group=$(try 5 metadata tags/instance/aws:autoscaling:groupName)
instance=$(try 5 metadata instance-id)
stage=$(try 5 metadata tags/instance/Stage)
secrets_path=/millrace/$stage/$tier

command -v docker >/dev/null || try 5 dnf install --quiet --assumeyes docker
systemctl enable --now docker

mkdir -p /etc/millrace
try 10 write_secrets
printf '%s\n' "$environment" "AWS_REGION=$region" "INSTANCE=$instance" "STAGE=$stage" >/etc/millrace/environment
try 10 pull_image

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
TimeoutStopSec=$((stop_seconds + 10))
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now millrace

try 120 curl -sf --max-time 2 --output /dev/null "http://127.0.0.1:$port/health"
try 5 finish CONTINUE
launched=yes
