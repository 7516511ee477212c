import { newApiKey } from './api-keys.ts'

/** `npm run api-key -- create <owner> [scope …]` */
const [command, owner, ...scopes] = process.argv.slice(2)
if (command !== 'create' || owner === undefined) {
  process.stderr.write('Usage: npm run api-key -- create <owner> [uploads:read] [uploads:write] [admin]\n')
  process.exitCode = 2
} else {
  try {
    const { key, entry } = newApiKey(owner, scopes.length > 0 ? scopes : ['uploads:read', 'uploads:write'])
    process.stdout.write(`Key, shown only now:   ${key}\nAdd this to API_KEYS:  ${entry}\n`)
  } catch {
    process.stderr.write(
      'An owner has up to 63 lower-case letters, digits and dashes and does not begin with "s-". Scopes: uploads:read, uploads:write, admin.\n',
    )
    process.exitCode = 2
  }
}
