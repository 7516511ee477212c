import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The program behind every mocked command: it records its call, fails if configured, and prints what a real one prints. */
const mockProgram = `#!/bin/bash
call="\${0##*/} $*"
printf '%s\\n' "$call" >>"$SANDBOX/calls"
if [[ -n $FAILS && $call =~ $FAILS ]]; then
  printf x >>"$SANDBOX/failures"
  read -r failures <"$SANDBOX/failures"
  [ "\${#failures}" -gt "$FAILS_TIMES" ] || exit 1
fi
case $call in
*/latest/api/token) printf TOKEN ;;
*/meta-data/placement/region) printf eu-west-1 ;;
*/meta-data/instance-id) printf i-0abc ;;
*/meta-data/tags/instance/Stage) printf production ;;
*/meta-data/tags/instance/aws:autoscaling:groupName) printf millrace-production-api ;;
'aws ssm '*) printf '%b' "$PARAMETERS" ;;
'aws ecr '*) printf REGISTRY-PASSWORD ;;
'docker login '*) printf '%s' "$(</dev/stdin)" >"$SANDBOX/login" ;;
'dnf '*) ln -s mock-program "$SANDBOX/bin/docker" ;;
esac
`
const mockedPrograms = ['aws', 'curl', 'systemctl', 'dnf']

/**
 * Runs a user-data script as at an instance's first boot. Mocks of all programs that it calls come first on PATH, and
 * /etc is a temporary directory. `sleep` returns at once.
 *
 * @param options.fails a regular expression that matches calls to fail
 * @param options.failsTimes how often they fail; default: always
 * @param options.docker whether the AMI includes Docker
 * @param options.parameters SSM's response, with escapes
 */
export async function bootInSandbox(
  script: string,
  options: { fails?: string; failsTimes?: number; docker?: boolean; parameters?: string } = {},
) {
  const sandbox = await mkdtemp(join(tmpdir(), 'millrace-boot-'))
  try {
    const bin = join(sandbox, 'bin')
    await mkdir(bin)
    await mkdir(join(sandbox, 'etc/systemd/system'), { recursive: true })
    await writeFile(join(bin, 'mock-program'), mockProgram, { mode: 0o755 })
    const programs = [...mockedPrograms, ...(options.docker === false ? [] : ['docker'])]
    await Promise.all(programs.map((name) => symlink('mock-program', join(bin, name))))
    await symlink('/bin/true', join(bin, 'sleep'))
    const code = await run(
      '/bin/bash',
      [
        '-c',
        script
          .replaceAll(' /etc/', ` ${sandbox}/etc/`)
          .replaceAll('>/etc/', `>${sandbox}/etc/`)
          .replaceAll('</etc/', `<${sandbox}/etc/`),
      ],
      {
        env: {
          PATH: `${bin}:/usr/bin:/bin`,
          SANDBOX: sandbox,
          FAILS: options.fails ?? '',
          FAILS_TIMES: String(options.failsTimes ?? Number.MAX_SAFE_INTEGER),
          PARAMETERS: options.parameters ?? '',
        },
      },
    ).then(
      () => 0,
      (error: { code: number }) => error.code,
    )
    const read = (file: string) => readFile(join(sandbox, file), 'utf8').catch(() => undefined)
    const mode = (file: string) => stat(join(sandbox, file)).then(({ mode }) => (mode & 0o777).toString(8))
    const [calls = '', login, secrets, environment, unit] = await Promise.all(
      [
        'calls',
        'login',
        'etc/millrace/secrets',
        'etc/millrace/environment',
        'etc/systemd/system/millrace.service',
      ].map(read),
    )
    return {
      code,
      calls: calls.trimEnd().split('\n'),
      login,
      secrets,
      environment,
      unit: unit?.replaceAll(sandbox, ''),
      modes:
        code === 0
          ? await Promise.all(['etc/millrace', 'etc/millrace/secrets', 'etc/millrace/environment'].map(mode))
          : [],
      leftovers: await read('etc/millrace/parameters'),
    }
  } finally {
    await rm(sandbox, { recursive: true })
  }
}
