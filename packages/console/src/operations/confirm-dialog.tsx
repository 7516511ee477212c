import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import { Dialog, DialogActions } from '../design/dialog.tsx'

/**
 * Asks before something that cannot be undone.
 *
 * @param props.action what the button does, such as "Revoke key"
 * @param props.onConfirm does it; if it throws, the dialog stays and says why
 */
export function ConfirmDialog(props: {
  title: string
  action: string
  children: ComponentChildren
  onConfirm: () => Promise<void>
  onClose: () => void
}) {
  const { title, action, children, onConfirm, onClose } = props
  const [problem, setProblem] = useState('')
  const [isBusy, setIsBusy] = useState(false)
  const confirm = async () => {
    setIsBusy(true)
    setProblem('')
    try {
      await onConfirm()
      onClose()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
      setIsBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <div>{children}</div>
      <p class="problem" role="alert">
        {problem}
      </p>
      <DialogActions>
        <Button label="Cancel" onClick={onClose} />
        <Button label={action} look="danger" disabled={isBusy} onClick={() => void confirm()} />
      </DialogActions>
    </Dialog>
  )
}
