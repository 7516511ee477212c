/// <reference path="./.sst/platform/config.d.ts" />

export default $config({
  async app({ stage }) {
    const { settingsFor } = await import('./stacks/settings.ts')
    const settings = settingsFor(stage, process.env)
    // AWS has new regions sooner than the provider's list of them, and says itself what is none.
    const region = settings.regions[0] as aws.Region
    return {
      name: 'millrace',
      home: 'aws',
      removal: settings.keep ? 'retain' : 'remove',
      protect: settings.keep,
      providers: {
        aws: { version: '7.20.0', region },
        'docker-build': '0.0.14',
        random: '4.16.6',
        tls: '5.0.1',
      },
    }
  },
  async run() {
    const { settingsFor } = await import('./stacks/settings.ts')
    const { createCloud } = await import('./stacks/cloud.ts')
    return createCloud(settingsFor($app.stage, process.env))
  },
})
