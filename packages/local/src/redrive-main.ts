import { redriveCommand } from '@millrace/shared/command/commands.ts'
import { startCommand } from './setup/service-command.ts'

/** `npm run redrive`: runs the worker's command with the settings of a running `npm start`, or those in the environment. */
process.exitCode = await startCommand(redriveCommand, 'worker/src/redrive-main.ts', process.argv.slice(2))
