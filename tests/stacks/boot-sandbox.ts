import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * The program behind every mocked command: it records its call, fails or hangs if configured, and prints what a real one
 * prints. Only `/live` is really requested, without curl, which a test machine may lack.
 */
const mockProgram = `#!/bin/bash
call="\${0##*/} $*"
printf '%s\\n' "$call" >>"$SANDBOX/calls"
[[ -z $HANGS || ! $call =~ $HANGS ]] || exec /bin/sleep 600
if [[ -n $FAILS && $call =~ $FAILS ]]; then
  times=0
  if [ -n "$FAILS_TIMES" ]; then
    while read -r earlier; do [[ $earlier != "$call" ]] || times=$((times + 1)); done <"$SANDBOX/calls"
  fi
  if [ "$times" -le "\${FAILS_TIMES:-0}" ]; then
    printf '%s: \\\\ "it" failed:\\tä\\n' "\${0##*/}" >&2
    exit 1
  fi
fi
case $call in
*/latest/api/token) printf TOKEN ;;
*/meta-data/placement/region) printf eu-west-1 ;;
*/meta-data/instance-id) printf i-0abc ;;
*/meta-data/tags/instance/Stage) printf production ;;
*/meta-data/tags/instance/aws:autoscaling:groupName) printf millrace-production-api ;;
*/meta-data/autoscaling/target-lifecycle-state) printf %s "$TARGET_STATE" ;;
*/meta-data/*) exit 22 ;;
*/live)
  address=\${call##*http://}
  address=\${address%%/*}
  exec 2>/dev/null 4<>"/dev/tcp/\${address/://}" || exit 7
  printf 'GET /live HTTP/1.0\\r\\n\\r\\n' >&4
  read -rt "$LIVE_SECONDS" status <&4 || exit 28
  [[ $status == *' 200 '* ]] || exit 22
  ;;
'aws ssm '*) printf '%b' "$PARAMETERS" ;;
'aws ecr '*) printf REGISTRY-PASSWORD ;;
'docker login '*) printf '%s' "$(</dev/stdin)" >"$SANDBOX/login" ;;
'dnf '*) ln -s mock-program "$SANDBOX/bin/docker" ;;
'journalctl '*) printf 'docker: failed to initialize logging driver\\n' ;;
esac
`
const mockedPrograms = ['aws', 'curl', 'systemctl', 'dnf', 'journalctl']
/** Paths of the instance that are in the sandbox. */
const instancePaths =
  /(?<=[\s=<>])(?=\/(?:etc\/(?:millrace|systemd)|run\/millrace|var\/lib\/millrace|usr\/local\/sbin))/g

const LogEvents = Compile(
  Type.Array(Type.Object({ timestamp: Type.Integer(), message: Type.String({ minLength: 1 }) })),
)

export type SandboxOptions = {
  /** A regular expression that matches calls to fail. */
  fails?: string
  /** How often each of them fails; default: always. */
  failsTimes?: number
  /** A regular expression that matches calls that never end. */
  hangs?: string
  /** Whether the AMI includes Docker. */
  docker?: boolean
  /** SSM's response, with escapes. */
  parameters?: string
}

export type BootSandbox = Awaited<ReturnType<typeof createBootSandbox>>

/**
 * Creates an instance before its first boot. Mocks of all programs that its scripts call come first on PATH, and its
 * own files are in a temporary directory. `sleep` returns at once.
 */
export async function createBootSandbox(options: SandboxOptions = {}) {
  const sandbox = await mkdtemp(join(tmpdir(), 'millrace-boot-'))
  const bin = join(sandbox, 'bin')
  await mkdir(bin)
  for (const directory of ['etc/systemd/system', 'run', 'usr/local/sbin']) {
    await mkdir(join(sandbox, directory), { recursive: true })
  }
  await writeFile(join(bin, 'mock-program'), mockProgram, { mode: 0o755 })
  await writeFile(join(sandbox, 'calls'), '')
  const programs = [...mockedPrograms, ...(options.docker === false ? [] : ['docker'])]
  await Promise.all(programs.map((name) => symlink('mock-program', join(bin, name))))
  await symlink('/bin/true', join(bin, 'sleep'))

  const read = (file: string) => readFile(join(sandbox, file), 'utf8').catch(() => undefined)
  const mode = (file: string) => stat(join(sandbox, file)).then(({ mode }) => (mode & 0o777).toString(8))
  const calls = async () => ((await read('calls')) ?? '').split('\n').filter(Boolean)

  return {
    read,
    mode,
    calls,

    /** Forgets all calls so far. */
    forgetCalls: () => writeFile(join(sandbox, 'calls'), ''),

    /** Returns the lines that were sent to CloudWatch Logs. */
    async logged(): Promise<string[]> {
      const lists = (await calls()).flatMap((call) => {
        const [, list] = /^aws logs put-log-events .* --log-events (.*)$/.exec(call) ?? []
        return list === undefined ? [] : LogEvents.Parse(JSON.parse(list))
      })
      return lists.map(({ message }) => message)
    },

    /** Waits until a program was called with matching arguments. */
    async untilCalled(pattern: RegExp): Promise<void> {
      const called = Promise.withResolvers<void>()
      const check = async () => {
        if ((await calls()).some((call) => pattern.test(call))) called.resolve()
      }
      const watcher = watch(join(sandbox, 'calls'), () => void check().catch(called.reject))
      await check()
      await called.promise
      watcher.close()
    },

    /**
     * Runs a script as root of the instance.
     * @param variables of its environment
     * @returns `exit`, which resolves with its exit code and what it printed, and `stop`, which sends SIGTERM to it and its
     *   programs, as systemd does at shutdown
     */
    run(script: string, variables: Record<string, string> = {}) {
      const child = spawn('/bin/bash', ['-c', script.replaceAll(instancePaths, sandbox)], {
        detached: true,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          PATH: `${bin}:/usr/bin:/bin`,
          SANDBOX: sandbox,
          FAILS: options.fails ?? '',
          FAILS_TIMES: String(options.failsTimes ?? ''),
          HANGS: options.hangs ?? '',
          PARAMETERS: options.parameters ?? '',
          TARGET_STATE: 'InService',
          LIVE_SECONDS: '60',
          ...variables,
        },
      })
      const exit = Promise.all([text(child.stdout), once(child, 'close')]).then(([printed]) => ({
        code: child.exitCode,
        printed,
      }))
      return {
        exit,
        stop: () => child.pid !== undefined && process.kill(-child.pid, 'SIGTERM'),
      }
    },

    /** Runs the program that the boot has installed: `instanceProgram report_end`. */
    async runInstalled(command: string, variables: Record<string, string> = {}) {
      return this.run(`${join(sandbox, 'usr/local/sbin/millrace-instance')} ${command}`, variables).exit
    },

    close: () => rm(sandbox, { recursive: true }),
    withoutSandbox: (content: string | undefined) => content?.replaceAll(sandbox, ''),
  }
}

/** Runs a user-data script as at an instance's first boot, until it ends. */
export async function bootInSandbox(script: string, options: SandboxOptions = {}) {
  const sandbox = await createBootSandbox(options)
  try {
    return await boot(sandbox, script)
  } finally {
    await sandbox.close()
  }
}

/** Runs a user-data script in a sandbox until it ends. @returns what there is afterwards */
export async function boot(sandbox: BootSandbox, script: string) {
  const { read, mode } = sandbox
  const { code, printed } = await sandbox.run(script).exit
  const [login, secrets, environment, unit] = await Promise.all(
    ['login', 'etc/millrace/secrets', 'etc/millrace/environment', 'etc/systemd/system/millrace.service'].map(
      read,
    ),
  )
  return {
    code,
    printed,
    /** All calls but those that send the log. */
    calls: (await sandbox.calls()).filter((call) => !call.startsWith('aws logs ')),
    allCalls: await sandbox.calls(),
    logged: await sandbox.logged(),
    login,
    secrets,
    environment,
    unit: sandbox.withoutSandbox(unit),
    modes:
      code === 0
        ? await Promise.all(['etc/millrace', 'etc/millrace/secrets', 'etc/millrace/environment'].map(mode))
        : [],
    leftovers: await read('etc/millrace/parameters'),
  }
}
