import { Monitor, Moon, Sun } from 'lucide-preact'
import type { Theme, ThemeChoice } from './theme.ts'

const choices: { value: Theme; label: string; icon: typeof Sun }[] = [
  { value: 'system', label: 'As the system', icon: Monitor },
  { value: 'light', label: 'Light', icon: Sun },
  { value: 'dark', label: 'Dark', icon: Moon },
]

/** The choice between light, dark and the system's colors. */
export function ThemeSwitch({ choice }: { choice: ThemeChoice }) {
  return (
    <fieldset class="theme-switch">
      <legend class="visually-hidden">Colors</legend>
      {choices.map(({ value, label, icon: Icon }) => (
        <label key={value} title={label}>
          <input
            type="radio"
            name="theme"
            class="visually-hidden"
            aria-label={label}
            checked={choice.theme.value === value}
            onChange={() => choice.choose(value)}
          />
          <Icon aria-hidden="true" />
        </label>
      ))}
    </fieldset>
  )
}
