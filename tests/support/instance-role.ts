import { randomBytes } from 'node:crypto'
import type { TemporaryCredentials } from '@millrace/local-s3/signing/signature-v4.ts'
import { startFakeInstance } from '../worker/support/fake-instance.ts'

const roleName = 'api-role'
const path = 'iam/security-credentials/'

/** Issues credentials of a role, as the session tokens of AWS, which a local S3 can verify. */
export function createRole() {
  const issued = new Map<string, TemporaryCredentials>()

  return {
    /** Finds credentials for a local S3. */
    find: (accessKeyId: string): TemporaryCredentials | undefined => issued.get(accessKeyId),

    /** Issues credentials that end at a time, in ms since 1970. The earlier ones stay valid until theirs. */
    issue(endsAtMs: number) {
      const keys = {
        accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
        secretAccessKey: randomBytes(20).toString('base64'),
        sessionToken: randomBytes(200).toString('base64'),
      }
      issued.set(keys.accessKeyId, { ...keys, endsAtMs })
      return { ...keys, expiration: new Date(endsAtMs) }
    },

    /** Makes all credentials that were issued so far end now. */
    endAll(): void {
      for (const credentials of issued.values()) credentials.endsAtMs = Date.now()
    },
  }
}

/** Starts the metadata service of an EC2 instance with a role (IMDSv2). */
export async function startInstanceRole() {
  const role = createRole()
  const { items, metadataRequests, metadataEndpoint, close } = await startFakeInstance()
  items.set(path, roleName)

  return {
    ...role,
    environment: { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadataEndpoint },
    /** Issues credentials, which the metadata service returns from now on. */
    issue(endsAtMs: number) {
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = role.issue(endsAtMs)
      const document = {
        Code: 'Success',
        Type: 'AWS-HMAC',
        AccessKeyId: accessKeyId,
        SecretAccessKey: secretAccessKey,
        Token: sessionToken,
        Expiration: expiration.toISOString(),
      }
      items.set(`${path}${roleName}`, JSON.stringify(document))
      return accessKeyId
    },
    /** Makes the metadata service forget the role. */
    fail: () => items.delete(path),
    /** How often credentials were asked for. */
    asked: () => metadataRequests.filter((request) => request === path).length,
    close,
  }
}
