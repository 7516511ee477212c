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

type SpecSelectors = {
  specJson(): { getIn(path: unknown): { get(name: string): unknown; getIn(path: unknown[]): unknown } }
}

/**
 * A plugin of Swagger UI that makes its page usable with a screen reader and the keyboard. It runs in the browser: its source is
 * sent with the page's configuration, so it uses nothing from outside of it.
 *
 * - The top bar, whose logo and input have no names, becomes a link to the console and the choice between light and dark.
 * - A screen reader hears what the list of servers is for.
 * - The link of an operation stands beside the button that opens it. Swagger UI puts it into the button.
 */
export function docsPagePlugin({ React, getComponent, getConfigs }: System) {
  const h = React.createElement
  const PlainText: Component = ({ text }) => h('span', null, text)

  return {
    wrapComponents: {
      Topbar: () => () => {
        const { consolePath } = getConfigs()
        return h(
          'header',
          { className: 'topbar wrapper' },
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
