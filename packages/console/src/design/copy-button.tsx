import { Check, Copy } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { Button } from './button.tsx'

/** How long the button says that it copied, in ms. */
const confirmedMs = 2_000

/** Copies a text to the clipboard. @param props.what what is copied, such as "the link" */
export function CopyButton({
  text,
  what,
  iconOnly = true,
}: {
  text: string
  what: string
  iconOnly?: boolean
}) {
  const [outcome, setOutcome] = useState<'copied' | 'failed'>()
  const copy = async () => {
    const result = await navigator.clipboard.writeText(text).then(
      () => 'copied' as const,
      () => 'failed' as const,
    )
    setOutcome(result)
    setTimeout(() => setOutcome(undefined), confirmedMs)
  }
  return (
    <>
      <Button
        label={`Copy ${what}`}
        icon={outcome === 'copied' ? Check : Copy}
        look="quiet"
        iconOnly={iconOnly}
        onClick={copy}
      />
      <span class="visually-hidden" role="status">
        {outcome === 'copied' && `Copied ${what}.`}
        {outcome === 'failed' && 'The browser does not allow copying.'}
      </span>
    </>
  )
}
