import type { LoadBalancer } from './load-balancer.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

type Domain = NonNullable<Settings['domain']>

/** Finds the domain's hosted zone. It must exist, because the registrar refers to its name servers. */
export function findZone(domain: Domain) {
  return aws.route53.getZoneOutput({ name: domain.zone })
}

/** Returns the region's own name, which Route 53 uses for its health check. */
export function regionalName(domain: Domain, place: Place): string {
  return `${place.region}.${domain.name}`
}

/**
 * Creates a certificate for the domain and the region's own name, validated by DNS records in the zone.
 *
 * @returns its ARN, once it is valid
 */
export function createCertificate(options: { place: Place; domain: Domain; zoneId: $util.Input<string> }) {
  const { place, domain, zoneId } = options
  const names = [domain.name, regionalName(domain, place)]
  const certificate = new aws.acm.Certificate(
    place.id('Certificate'),
    { domainName: domain.name, subjectAlternativeNames: names.slice(1), validationMethod: 'DNS' },
    // The old one can be deleted only after the new one is in use.
    { ...place.options, deleteBeforeReplace: false },
  )
  const proofs = names.map((name, index) => {
    const option = certificate.domainValidationOptions.apply((options) => {
      const found = options.find(({ domainName }) => domainName === name)
      if (!found) throw new Error(`ACM returned no validation record for ${name}.`)
      return found
    })
    return new aws.route53.Record(
      place.id(`CertificateProof${index + 1}`),
      {
        zoneId,
        name: option.resourceRecordName,
        type: option.resourceRecordType,
        records: [option.resourceRecordValue],
        ttl: 60,
        // Every region needs the same validation record for the shared name.
        allowOverwrite: true,
      },
      place.options,
    )
  })
  return new aws.acm.CertificateValidation(
    place.id('CertificateValid'),
    { certificateArn: certificate.arn, validationRecordFqdns: proofs.map(({ fqdn }) => fqdn) },
    place.options,
  ).certificateArn
}

/**
 * Points the domain at the region's load balancer, and Route 53's health check at the region's own name. With several
 * regions, Route 53 chooses among the healthy ones; with any number, the health check raises an alarm (domain-alarm.ts).
 */
export function createRecords(options: {
  place: Place
  domain: Domain
  zoneId: $util.Input<string>
  loadBalancer: LoadBalancer
  settings: Pick<Settings, 'regions' | 'routing' | 'continents'>
}) {
  const { place, domain, zoneId, loadBalancer, settings } = options
  const { id } = place
  const alias = {
    name: loadBalancer.loadBalancer.dnsName,
    zoneId: loadBalancer.loadBalancer.zoneId,
    evaluateTargetHealth: true,
  }
  new aws.route53.Record(
    id('RegionalName'),
    {
      zoneId,
      name: regionalName(domain, place),
      type: 'A',
      aliases: [{ ...alias, evaluateTargetHealth: false }],
    },
    place.options,
  )
  const healthCheck = new aws.route53.HealthCheck(
    id('HealthCheck'),
    {
      type: 'HTTPS',
      fqdn: regionalName(domain, place),
      port: 443,
      // Not /health, which checks no dependency: a region without Redis or S3 must get no requests.
      resourcePath: '/ready',
      enableSni: true,
      requestInterval: 10,
      failureThreshold: 3,
      tags: { Name: place.name(place.region) },
    },
    place.options,
  )
  for (const policy of routingPolicies(place, settings)) {
    new aws.route53.Record(
      id(`Domain${policy.suffix}`),
      { zoneId, name: domain.name, type: 'A', aliases: [alias], ...policy.args(healthCheck) },
      place.options,
    )
  }
  return healthCheck
}

/** Returns one record for each routing rule that leads to the region. */
function routingPolicies(place: Place, settings: Pick<Settings, 'regions' | 'routing' | 'continents'>) {
  if (settings.regions.length === 1) return [{ suffix: '', args: () => ({}) }]
  if (settings.routing === 'latency') {
    return [
      {
        suffix: '',
        args: (check: aws.route53.HealthCheck) => ({
          setIdentifier: place.region,
          healthCheckId: check.id,
          latencyRoutingPolicies: [{ region: place.region }],
        }),
      },
    ]
  }
  const continents = Object.entries(settings.continents).filter(([, region]) => region === place.region)
  const locations = [
    ...continents.map(([continent]) => ({ suffix: continent, location: { continent } })),
    // If no continent matches, or if the matching region is not healthy.
    ...(place.isHome ? [{ suffix: 'Rest', location: { country: '*' } }] : []),
  ]
  return locations.map(({ suffix, location }) => ({
    suffix,
    args: (check: aws.route53.HealthCheck) => ({
      setIdentifier: `${place.region}-${suffix}`,
      healthCheckId: check.id,
      geolocationRoutingPolicies: [location],
    }),
  }))
}
