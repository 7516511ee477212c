import { reprocessCommand } from '@millrace/shared/command/commands.ts'
import { startCommand } from './setup/service-command.ts'

/** `npm run reprocess`: runs the worker's command with the settings of a running `npm start`, or those in the environment. */
process.exitCode = await startCommand(reprocessCommand, 'worker/src/reprocess-main.ts', process.argv.slice(2))
