/** What Swagger UI gives a component. */
type Props = Record<string, unknown>

/** A component of React. */
type Component = (props: Props) => unknown

/** What the plugin uses of Swagger UI: its React, components by name, and the document. */
type System = {
  React: { createElement(type: string | Component, props: Props | null, ...children: unknown[]): unknown }
  getComponent(name: string): Component
  getConfigs(): { consolePath?: string }
}

/** A position in the document, such as `paths`, `/uploads`, `post`. */
type DocumentPath = { size: number; join(separator: string): string }

/** What the plugin uses of an element of the page. */
type PageElement = {
  dataset: Record<string, string | undefined>
  closest(selector: string): PageElement | null
  setAttribute(name: string, value: string): void
}

declare const document: { body: unknown; querySelectorAll(selector: string): Iterable<PageElement> }
declare const MutationObserver: new (
  onChange: () => void,
) => { observe(target: unknown, options: { childList: boolean; subtree: boolean }): void }

type SpecSelectors = {
  specJson(): { getIn(path: unknown): { get(name: string): unknown; getIn(path: unknown[]): unknown } }
}

/**
 * A plugin of Swagger UI that makes its page usable with a screen reader and the keyboard. It runs in the browser: its source is
 * sent with the page's configuration, so it uses nothing from outside of it.
 *
 * - The top bar, whose logo and input have no names, becomes a link to the console and the choice between light and dark.
 * - A screen reader hears what each input, list and button is for, and the keyboard can scroll examples.
 * - The link of an operation stands beside the button that opens it. Swagger UI puts it into the button.
 */
export function docsPagePlugin({ React, getComponent, getConfigs }: System) {
  const h = React.createElement
  const PlainText: Component = ({ text }) => h('span', null, text)

  const names = {
    '#servers': 'Server',
    '.examples-select-element': 'Example',
    '.opblock textarea': 'Request body',
    '.close-modal': 'Close',
    '.auth-btn-wrapper .authorize': 'Authorize with this',
  }

  /** Adds what elements lack whose component leaves no other way. React keeps attributes that it does not know. */
  function completeElements(): void {
    for (const [selector, name] of Object.entries(names)) {
      for (const element of document.querySelectorAll(selector)) element.setAttribute('aria-label', name)
    }
    const ofParameter = '[data-param-name], [data-property-name]'
    for (const element of document.querySelectorAll(`:is(${ofParameter}) :is(input, select, textarea)`)) {
      const { paramName, propertyName } = element.closest(ofParameter)?.dataset ?? {}
      element.setAttribute('aria-label', paramName ?? propertyName ?? '')
    }
    for (const element of document.querySelectorAll('.microlight')) element.setAttribute('tabindex', '0')
  }
  new MutationObserver(completeElements).observe(document.body, { childList: true, subtree: true })

  return {
    wrapComponents: {
      Topbar: () => () => {
        const { consolePath } = getConfigs()
        return h(
          'nav',
          { className: 'topbar', 'aria-label': 'Page' },
          consolePath ? h('a', { href: consolePath }, '← Millrace console') : null,
          h(getComponent('DarkModeToggle'), null),
        )
      },
      InfoContainer: (Original: Component) => (props: Props) =>
        h('section', { 'aria-label': 'About this API' }, h(Original, props)),
      ServersContainer: (Original: Component) => (props: Props) =>
        h('section', { 'aria-label': 'Server' }, h(Original, props)),
      OperationSummaryPath: (Original: Component) => (props: Props) =>
        h(Original, {
          ...props,
          getComponent: (name: string) => (name === 'DeepLink' ? PlainText : getComponent(name)),
        }),
      JumpToPath:
        () =>
        ({ path, specSelectors }: { path?: DocumentPath; specSelectors: SpecSelectors }) => {
          const operation = path?.size === 3 ? specSelectors.specJson().getIn(path) : undefined
          const [tag, id] = [operation?.getIn(['tags', 0]), operation?.get('operationId')]
          if (!tag || !id) return null
          return h(
            'a',
            { className: 'operation-link', href: `#/${tag}/${id}`, 'aria-label': `Link to ${id}` },
            '#',
          )
        },
    },
  }
}
