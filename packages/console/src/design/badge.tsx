import './badge.css'

export type Tone = 'plain' | 'busy' | 'good' | 'warn' | 'bad'

/** A state in one word. Its color never says more than its text. */
export function Badge({ text, tone = 'plain' }: { text: string; tone?: Tone }) {
  return <span class={`badge is-${tone}`}>{text}</span>
}
