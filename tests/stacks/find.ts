import type { Json } from '../support/mock-aws.ts'
import type { Cloud, Resource } from '../support/mock-cloud.ts'

/** Returns the resources of a type, for example `aws:s3/bucket:Bucket`. */
export function ofType(cloud: Cloud, type: string): Resource[] {
  return cloud.resources.filter((resource) => resource.type === type)
}

/** Returns the only resource of this name and type. @throws Error if there is none or more than one */
export function one(cloud: Cloud, type: string, name: string): Resource {
  const found = ofType(cloud, type).filter((resource) => resource.name === name)
  const [resource] = found
  if (!resource || found.length > 1) throw new Error(`${cloud.stage} has ${found.length} of ${type} ${name}.`)
  return resource
}

/** Reads a nested value by keys and indices: `at(group.inputs, 'instanceRefresh', 'preferences')`. */
export function at(value: Json, ...path: (string | number)[]): Json {
  return path.reduce<Json>((inner, key) => {
    if (typeof inner !== 'object' || inner === null) return undefined
    return Array.isArray(inner) ? inner[Number(key)] : inner[String(key)]
  }, value)
}

export function list(value: Json): Json[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
}

export function texts(value: Json): string[] {
  return list(value).map(String)
}

export function parse(text: Json): Json {
  return JSON.parse(String(text))
}

export type Statement = {
  effect: string
  actions: string[]
  resources: string[]
  principals: string[]
  conditions: Json
}

/** Returns the statements of a policy document. Single values become lists. */
export function statements(document: Json): Statement[] {
  return list(at(parse(document), 'Statement')).map((statement) => {
    const principal = at(statement, 'Principal')
    const principals =
      typeof principal === 'object' && principal !== null ? Object.values(principal).flat() : [principal]
    return {
      effect: String(at(statement, 'Effect')),
      actions: texts(at(statement, 'Action')),
      resources: texts(at(statement, 'Resource')),
      principals: principals.filter((each) => each !== undefined).map(String),
      conditions: at(statement, 'Condition'),
    }
  })
}

/** Returns the user data of a launch template as text. */
export function userDataOf(template: Resource): string {
  return Buffer.from(String(template.inputs['userData']), 'base64').toString()
}

/** Returns the urns of everything that Pulumi creates before a resource, directly or indirectly. */
export function before(cloud: Cloud, resource: Resource): Set<string> {
  const byUrn = new Map(cloud.resources.map((each) => [each.urn, each]))
  const found = new Set<string>()
  const queue = [resource]
  for (const next of queue) {
    for (const urn of Object.values(next.dependencies).flat()) {
      const dependency = byUrn.get(urn)
      if (found.has(urn) || !dependency) continue
      found.add(urn)
      queue.push(dependency)
    }
  }
  return found
}

/** Returns the resources that an input depends on. */
export function behind(cloud: Cloud, resource: Resource, input: string): Resource[] {
  const urns = resource.dependencies[input] ?? []
  return cloud.resources.filter(({ urn }) => urns.includes(urn))
}
