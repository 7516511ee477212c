import { signal } from '@preact/signals'

/** `system` follows the operating system. */
export type Theme = 'system' | 'light' | 'dark'

const storageKey = 'millrace-theme'

/** Creates the choice between light and dark. It is kept in this browser, and written to the root element. */
export function createTheme() {
  const theme = signal<Theme>(readTheme())
  apply(theme.value)

  return {
    theme,
    choose(next: Theme): void {
      theme.value = next
      apply(next)
      // Private windows may refuse. The choice then lasts as long as the page.
      try {
        localStorage.setItem(storageKey, next)
      } catch {}
    },
  }
}

export type ThemeChoice = ReturnType<typeof createTheme>

function readTheme(): Theme {
  try {
    const stored = localStorage.getItem(storageKey)
    return stored === 'light' || stored === 'dark' ? stored : 'system'
  } catch {
    return 'system'
  }
}

function apply(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme
}
