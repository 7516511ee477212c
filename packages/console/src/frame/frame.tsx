import { BookOpen, Keyboard, Menu, X } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { Suspense } from 'preact/compat'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Link, Route, Switch, useLocation } from 'wouter-preact'
import { Button } from '../design/button.tsx'
import { EmptyState } from '../design/empty-state.tsx'
import { ToastList, type Toasts } from '../design/toasts.tsx'
import { Account } from './account.tsx'
import './frame.css'
import { HasNavigated } from './has-navigated.ts'
import type { Identity } from './identity.ts'
import type { Page } from './page.ts'
import { type Shortcuts, useShortcuts } from './shortcuts.ts'
import { ShortcutsDialog } from './shortcuts-dialog.tsx'
import { SignInDialog } from './sign-in-dialog.tsx'
import { SignInEnded } from './sign-in-ended.tsx'
import type { ThemeChoice } from './theme.ts'
import { ThemeSwitch } from './theme-switch.tsx'
import { Wheel } from './wheel.tsx'

/**
 * What surrounds every page: navigation, who uses it, colors, keyboard shortcuts and messages.
 *
 * @param props.pages in the order of the navigation
 * @param props.docsUrl address of the API's documentation
 * @param props.children what stays while pages change, such as the files that are being sent
 */
export function Frame(props: {
  pages: readonly Page[]
  docsUrl: string
  identity: Identity
  shortcuts: Shortcuts
  theme: ThemeChoice
  toasts: Toasts
  children?: ComponentChildren
}) {
  const { pages, docsUrl, identity, shortcuts, theme, toasts, children } = props
  const [location, navigate] = useLocation()
  const [isMenuOpen, setIsMenuOpen] = useState(false)
  const [showsShortcuts, setShowsShortcuts] = useState(false)
  const firstLocation = useRef(location)
  const hasNavigated = useRef(false)
  if (location !== firstLocation.current) hasNavigated.current = true
  useEffect(() => setIsMenuOpen(false), [location])
  // Before a page restores where its reader was.
  useLayoutEffect(() => {
    if (hasNavigated.current) scrollTo(0, 0)
  }, [location])
  useEffect(() => {
    identity.open().catch((error) => toasts.tellFailure('The session could not be opened', error))
  }, [identity, toasts])
  useShortcuts(
    shortcuts,
    useMemo(
      () => [
        { keys: '?', label: 'Show this list', run: () => setShowsShortcuts(true) },
        ...pages.map(({ key, title, path }) => ({
          keys: `g ${key}`,
          label: `Go to ${title}`,
          run: () => navigate(path),
        })),
      ],
      [pages, navigate],
    ),
  )
  return (
    <div class="frame">
      <a class="skip-link" href="#page">
        Skip to the page
      </a>
      <header class={isMenuOpen ? 'sidebar is-open' : 'sidebar'}>
        <Link class="brand" href="/">
          <Wheel />
          Millrace
        </Link>
        <div class="menu-button">
          <Button
            label={isMenuOpen ? 'Close menu' : 'Open menu'}
            icon={isMenuOpen ? X : Menu}
            look="quiet"
            iconOnly
            onClick={() => setIsMenuOpen(!isMenuOpen)}
          />
        </div>
        <nav class="navigation" aria-label="Pages">
          <ul>
            {pages.map(({ path, title, icon: Icon }) => (
              <li key={path}>
                <Link href={path} aria-current={location === path ? 'page' : undefined}>
                  <Icon aria-hidden="true" />
                  {title}
                </Link>
              </li>
            ))}
            <li>
              <a href={docsUrl}>
                <BookOpen aria-hidden="true" />
                API docs
              </a>
            </li>
          </ul>
        </nav>
        <div class="account">
          <Account identity={identity} toasts={toasts} />
          <div class="page-actions">
            <ThemeSwitch choice={theme} />
            <Button
              label="Keyboard shortcuts"
              icon={Keyboard}
              look="quiet"
              iconOnly
              shortcut="?"
              onClick={() => setShowsShortcuts(true)}
            />
          </div>
        </div>
      </header>
      <main id="page" class="page" tabIndex={-1}>
        {identity.hasEnded.value && <SignInEnded identity={identity} toasts={toasts} />}
        <HasNavigated.Provider value={hasNavigated}>
          <Suspense fallback={<p role="status">Loading…</p>}>
            <Switch>
              {pages.map(({ path, component: Component }) => (
                <Route key={path} path={path}>
                  <Component />
                </Route>
              ))}
              <Route>
                <EmptyState icon={BookOpen} title="There is no such page">
                  <Link href="/">Show the uploads</Link>
                </EmptyState>
              </Route>
            </Switch>
          </Suspense>
        </HasNavigated.Provider>
      </main>
      {children}
      {identity.asksForKey.value && <SignInDialog identity={identity} />}
      {showsShortcuts && <ShortcutsDialog shortcuts={shortcuts} onClose={() => setShowsShortcuts(false)} />}
      <ToastList toasts={toasts} />
    </div>
  )
}
