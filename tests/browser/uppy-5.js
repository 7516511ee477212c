export { default as AwsS3 } from 'uppy-5-aws-s3'
export { BasePlugin, default as Uppy } from 'uppy-5-core'
