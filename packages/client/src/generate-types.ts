import openapiTypescript, { astToString } from 'openapi-typescript'

/** Where the types that the client is built on are kept. */
export const typesFile = new URL('api-types.ts', import.meta.url)

/**
 * Makes TypeScript types of an OpenAPI document.
 *
 * @param document OpenAPI 3.1, as text
 */
export async function generateTypes(document: string): Promise<string> {
  const types = await openapiTypescript(document, { alphabetize: true })
  return `// Made by \`npm run generate -w packages/client\` of what the API says of itself at /openapi.json.\n\n${astToString(types)}`
}
