/// <reference path="./.sst/platform/config.d.ts" />

export default $config({
  async app({ stage }) {
    const { readAppSettings } = await import('./stacks/settings.ts')
    const { region, keep } = readAppSettings(stage, process.env)
    return {
      name: 'millrace',
      home: 'aws',
      removal: keep ? 'retain' : 'remove',
      protect: keep,
      providers: {
        // AWS opens regions earlier than the provider's type lists them, and AWS itself refuses an unknown one.
        aws: { version: '7.20.0', region: region as aws.Region },
        command: '1.0.1',
        'docker-build': '0.0.14',
        random: '4.16.6',
        tls: '5.0.1',
      },
    }
  },
  async run() {
    const { readSettings } = await import('./stacks/settings.ts')
    const { createCloud } = await import('./stacks/cloud.ts')
    return createCloud(readSettings($app.stage, process.env))
  },
})
