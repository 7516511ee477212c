import { runApiKeyCommand } from './api-key-command.ts'

/** `npm run api-key` runs it (packages/local/src/api-key-main.ts); in a container of the API, run this file itself. */
process.exitCode = await runApiKeyCommand(process.argv.slice(2), {
  environment: process.env,
  print: (text) => process.stdout.write(text),
  printError: (text) => process.stderr.write(text),
})
