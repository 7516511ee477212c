/**
 * What the AWS provider calls for each resource type of the graph: to create, read, update and delete it, in the words of
 * IAM ("Service Authorization Reference"). Written from the provider's documentation and AWS's; no account has confirmed it.
 */
export const rightsByType: Record<string, string[]> = {
  'aws:acm/certificate:Certificate': each(
    'acm',
    'RequestCertificate DescribeCertificate DeleteCertificate ListTagsForCertificate AddTagsToCertificate RemoveTagsFromCertificate',
  ),
  'aws:acm/certificateValidation:CertificateValidation': each('acm', 'DescribeCertificate'),
  'aws:autoscaling/group:Group': [
    ...each(
      'autoscaling',
      'CreateAutoScalingGroup UpdateAutoScalingGroup DeleteAutoScalingGroup DescribeAutoScalingGroups',
      'DescribeScalingActivities CreateOrUpdateTags DeleteTags EnableMetricsCollection DisableMetricsCollection',
      'PutLifecycleHook DeleteLifecycleHook AttachLoadBalancerTargetGroups DetachLoadBalancerTargetGroups',
      'AttachTrafficSources DetachTrafficSources SetInstanceProtection',
      // The rollout of a new image.
      'StartInstanceRefresh DescribeInstanceRefreshes CancelInstanceRefresh RollbackInstanceRefresh',
    ),
    // Auto Scaling checks that the caller may launch instances of the template.
    ...each('ec2', 'RunInstances CreateTags'),
    ...each('iam', 'PassRole CreateServiceLinkedRole'),
    ...each('elasticloadbalancing', 'DescribeTargetHealth'),
  ],
  'aws:autoscaling/policy:Policy': each('autoscaling', 'PutScalingPolicy DescribePolicies DeletePolicy'),
  'aws:budgets/budget:Budget': each(
    'budgets',
    'ViewBudget ModifyBudget ListTagsForResource TagResource UntagResource',
  ),
  'aws:cloudfront/cachePolicy:CachePolicy': crud('cloudfront', 'CachePolicy'),
  'aws:cloudfront/distribution:Distribution': [
    ...crud('cloudfront', 'Distribution'),
    ...each('cloudfront', 'TagResource UntagResource ListTagsForResource'),
  ],
  'aws:cloudfront/keyGroup:KeyGroup': crud('cloudfront', 'KeyGroup'),
  'aws:cloudfront/originAccessControl:OriginAccessControl': crud('cloudfront', 'OriginAccessControl'),
  'aws:cloudfront/publicKey:PublicKey': crud('cloudfront', 'PublicKey'),
  'aws:cloudwatch/dashboard:Dashboard': each('cloudwatch', 'PutDashboard GetDashboard DeleteDashboards'),
  'aws:cloudwatch/eventRule:EventRule': each(
    'events',
    'PutRule DescribeRule DeleteRule ListTagsForResource TagResource UntagResource',
  ),
  'aws:cloudwatch/eventTarget:EventTarget': each('events', 'PutTargets ListTargetsByRule RemoveTargets'),
  'aws:cloudwatch/logGroup:LogGroup': each(
    'logs',
    'CreateLogGroup DescribeLogGroups DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy AssociateKmsKey',
    'DisassociateKmsKey ListTagsForResource TagResource UntagResource',
  ),
  'aws:cloudwatch/logResourcePolicy:LogResourcePolicy': each(
    'logs',
    'PutResourcePolicy DescribeResourcePolicies DeleteResourcePolicy',
  ),
  'aws:cloudwatch/metricAlarm:MetricAlarm': each(
    'cloudwatch',
    'PutMetricAlarm DescribeAlarms DeleteAlarms ListTagsForResource TagResource UntagResource',
  ),
  'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup': each(
    'ec2',
    'DescribeSecurityGroups CreateTags DeleteTags RevokeSecurityGroupIngress RevokeSecurityGroupEgress',
  ),
  'aws:ec2/eip:Eip': each('ec2', 'AllocateAddress DescribeAddresses ReleaseAddress CreateTags'),
  'aws:ec2/eipAssociation:EipAssociation': each('ec2', 'AssociateAddress DisassociateAddress'),
  'aws:ec2/instance:Instance': [
    ...each(
      'ec2',
      'RunInstances DescribeInstances DescribeImages DescribeInstanceAttribute ModifyInstanceAttribute',
      'ModifyInstanceMetadataOptions StopInstances StartInstances TerminateInstances CreateTags',
    ),
    'iam:PassRole',
  ],
  'aws:ec2/internetGateway:InternetGateway': each(
    'ec2',
    'CreateInternetGateway AttachInternetGateway DetachInternetGateway DeleteInternetGateway CreateTags',
  ),
  'aws:ec2/launchTemplate:LaunchTemplate': each(
    'ec2',
    'CreateLaunchTemplate CreateLaunchTemplateVersion DescribeLaunchTemplateVersions ModifyLaunchTemplate',
    'DeleteLaunchTemplate CreateTags',
  ),
  'aws:ec2/natGateway:NatGateway': each(
    'ec2',
    'CreateNatGateway DescribeNatGateways DeleteNatGateway CreateTags',
  ),
  'aws:ec2/routeTable:RouteTable': each(
    'ec2',
    'CreateRouteTable DescribeRouteTables CreateRoute ReplaceRoute DeleteRoute DeleteRouteTable CreateTags',
  ),
  'aws:ec2/routeTableAssociation:RouteTableAssociation': each(
    'ec2',
    'AssociateRouteTable ReplaceRouteTableAssociation DisassociateRouteTable',
  ),
  'aws:ec2/securityGroup:SecurityGroup': each(
    'ec2',
    'CreateSecurityGroup DescribeSecurityGroups AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress',
    'RevokeSecurityGroupIngress RevokeSecurityGroupEgress DeleteSecurityGroup CreateTags DescribeNetworkInterfaces',
  ),
  'aws:ec2/subnet:Subnet': each(
    'ec2',
    'CreateSubnet DescribeSubnets ModifySubnetAttribute DeleteSubnet CreateTags',
  ),
  'aws:ec2/vpc:Vpc': each(
    'ec2',
    'CreateVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute DeleteVpc CreateTags',
  ),
  'aws:ec2/vpcEndpoint:VpcEndpoint': each(
    'ec2',
    'CreateVpcEndpoint DescribeVpcEndpoints DescribePrefixLists ModifyVpcEndpoint DeleteVpcEndpoints CreateTags',
  ),
  'aws:ecr/lifecyclePolicy:LifecyclePolicy': each(
    'ecr',
    'PutLifecyclePolicy GetLifecyclePolicy DeleteLifecyclePolicy',
  ),
  'aws:ecr/repository:Repository': each(
    'ecr',
    'CreateRepository DescribeRepositories DeleteRepository PutImageScanningConfiguration PutImageTagMutability',
    'ListTagsForResource TagResource UntagResource',
  ),
  'aws:elasticache/parameterGroup:ParameterGroup': each(
    'elasticache',
    'CreateCacheParameterGroup DescribeCacheParameterGroups DescribeCacheParameters ModifyCacheParameterGroup',
    'ResetCacheParameterGroup DeleteCacheParameterGroup ListTagsForResource AddTagsToResource RemoveTagsFromResource',
  ),
  'aws:elasticache/replicationGroup:ReplicationGroup': [
    ...each(
      'elasticache',
      'CreateReplicationGroup DescribeReplicationGroups DescribeCacheClusters ModifyReplicationGroup',
      'IncreaseReplicaCount DecreaseReplicaCount DeleteReplicationGroup CreateSnapshot ListTagsForResource AddTagsToResource',
    ),
    ...each('kms', 'DescribeKey CreateGrant'),
    'iam:CreateServiceLinkedRole',
    ...logDelivery(),
  ],
  'aws:elasticache/subnetGroup:SubnetGroup': each(
    'elasticache',
    'CreateCacheSubnetGroup DescribeCacheSubnetGroups ModifyCacheSubnetGroup DeleteCacheSubnetGroup AddTagsToResource',
  ),
  'aws:iam/instanceProfile:InstanceProfile': each(
    'iam',
    'CreateInstanceProfile GetInstanceProfile DeleteInstanceProfile AddRoleToInstanceProfile',
    'RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile PassRole',
  ),
  'aws:iam/role:Role': each(
    'iam',
    'CreateRole GetRole UpdateRole UpdateAssumeRolePolicy DeleteRole ListRolePolicies ListAttachedRolePolicies',
    'ListInstanceProfilesForRole TagRole UntagRole AttachRolePolicy DetachRolePolicy PutRolePermissionsBoundary',
  ),
  'aws:iam/rolePolicy:RolePolicy': each('iam', 'PutRolePolicy GetRolePolicy DeleteRolePolicy'),
  'aws:kms/alias:Alias': each('kms', 'CreateAlias ListAliases UpdateAlias DeleteAlias'),
  'aws:kms/key:Key': each(
    'kms',
    'CreateKey DescribeKey GetKeyPolicy PutKeyPolicy GetKeyRotationStatus EnableKeyRotation UpdateKeyDescription',
    'ListResourceTags TagResource UntagResource ScheduleKeyDeletion',
  ),
  'aws:lb/listener:Listener': each(
    'elasticloadbalancing',
    'CreateListener DescribeListeners DescribeListenerAttributes ModifyListener ModifyListenerAttributes DeleteListener AddTags',
  ),
  'aws:lb/loadBalancer:LoadBalancer': [
    ...each(
      'elasticloadbalancing',
      'CreateLoadBalancer DescribeLoadBalancers DescribeLoadBalancerAttributes ModifyLoadBalancerAttributes',
      'SetSecurityGroups SetSubnets DeleteLoadBalancer DescribeTags AddTags RemoveTags',
    ),
    'iam:CreateServiceLinkedRole',
    'ec2:DescribeAccountAttributes',
  ],
  'aws:lb/targetGroup:TargetGroup': each(
    'elasticloadbalancing',
    'CreateTargetGroup DescribeTargetGroups DescribeTargetGroupAttributes ModifyTargetGroup ModifyTargetGroupAttributes',
    'DeleteTargetGroup AddTags',
  ),
  'aws:route53/healthCheck:HealthCheck': each(
    'route53',
    'CreateHealthCheck GetHealthCheck UpdateHealthCheck DeleteHealthCheck ListTagsForResource ChangeTagsForResource',
  ),
  'aws:route53/record:Record': each(
    'route53',
    'ChangeResourceRecordSets ListResourceRecordSets GetHostedZone GetChange',
  ),
  'aws:s3/bucket:Bucket': each(
    's3',
    'CreateBucket DeleteBucket ListBucket GetBucketAcl GetBucketLocation GetBucketLogging GetBucketTagging GetBucketWebsite',
    'GetBucketRequestPayment GetBucketObjectLockConfiguration GetAccelerateConfiguration PutBucketTagging',
    'ListTagsForResource TagResource UntagResource',
  ),
  'aws:s3/bucketCorsConfiguration:BucketCorsConfiguration': each('s3', 'PutBucketCORS GetBucketCORS'),
  'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration': each(
    's3',
    'PutLifecycleConfiguration GetLifecycleConfiguration',
  ),
  'aws:s3/bucketNotification:BucketNotification': each('s3', 'PutBucketNotification GetBucketNotification'),
  'aws:s3/bucketOwnershipControls:BucketOwnershipControls': each(
    's3',
    'PutBucketOwnershipControls GetBucketOwnershipControls',
  ),
  'aws:s3/bucketPolicy:BucketPolicy': each('s3', 'PutBucketPolicy GetBucketPolicy DeleteBucketPolicy'),
  'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock': each(
    's3',
    'PutBucketPublicAccessBlock GetBucketPublicAccessBlock',
  ),
  'aws:s3/bucketReplicationConfig:BucketReplicationConfig': [
    ...each('s3', 'PutReplicationConfiguration GetReplicationConfiguration'),
    'iam:PassRole',
  ],
  'aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration': each(
    's3',
    'PutEncryptionConfiguration GetEncryptionConfiguration',
  ),
  'aws:s3/bucketVersioning:BucketVersioning': each('s3', 'PutBucketVersioning GetBucketVersioning'),
  'aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace': [
    ...each(
      'servicediscovery',
      'CreatePrivateDnsNamespace GetNamespace GetOperation UpdatePrivateDnsNamespace DeleteNamespace ListTagsForResource',
      'TagResource',
    ),
    // Cloud Map keeps the zone in the caller's name.
    ...each(
      'route53',
      'CreateHostedZone AssociateVPCWithHostedZone ListHostedZonesByName GetHostedZone DeleteHostedZone',
    ),
  ],
  'aws:sns/topic:Topic': each(
    'sns',
    'CreateTopic GetTopicAttributes SetTopicAttributes DeleteTopic ListTagsForResource TagResource UntagResource',
  ),
  'aws:sns/topicPolicy:TopicPolicy': each('sns', 'GetTopicAttributes SetTopicAttributes'),
  'aws:sns/topicSubscription:TopicSubscription': each(
    'sns',
    'Subscribe GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe',
  ),
  'aws:sqs/queue:Queue': each(
    'sqs',
    'CreateQueue GetQueueUrl GetQueueAttributes SetQueueAttributes DeleteQueue ListQueueTags TagQueue UntagQueue',
  ),
  'aws:sqs/queuePolicy:QueuePolicy': each('sqs', 'SetQueueAttributes GetQueueAttributes'),
  'aws:sqs/redriveAllowPolicy:RedriveAllowPolicy': each('sqs', 'SetQueueAttributes GetQueueAttributes'),
  'aws:ssm/parameter:Parameter': [
    ...each(
      'ssm',
      'PutParameter GetParameter GetParameters DeleteParameter DescribeParameters ListTagsForResource AddTagsToResource',
      'RemoveTagsFromResource',
    ),
    ...each('kms', 'Encrypt Decrypt GenerateDataKey'),
  ],
  'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule': each(
    'ec2',
    'AuthorizeSecurityGroupEgress DescribeSecurityGroupRules ModifySecurityGroupRules RevokeSecurityGroupEgress CreateTags',
  ),
  'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': each(
    'ec2',
    'AuthorizeSecurityGroupIngress DescribeSecurityGroupRules ModifySecurityGroupRules RevokeSecurityGroupIngress CreateTags',
  ),
  'aws:wafv2/webAcl:WebAcl': each(
    'wafv2',
    'CreateWebACL GetWebACL UpdateWebACL DeleteWebACL ListTagsForResource TagResource UntagResource',
  ),
  'aws:wafv2/webAclAssociation:WebAclAssociation': [
    ...each('wafv2', 'AssociateWebACL GetWebACLForResource DisassociateWebACL'),
    'elasticloadbalancing:SetWebACL',
  ],
  'aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration': [
    ...each('wafv2', 'PutLoggingConfiguration GetLoggingConfiguration DeleteLoggingConfiguration'),
    'iam:CreateServiceLinkedRole',
    ...logDelivery(),
  ],
  // Pushes by the registry's protocol.
  'docker-build:index:Image': each(
    'ecr',
    'GetAuthorizationToken BatchCheckLayerAvailability InitiateLayerUpload UploadLayerPart CompleteLayerUpload PutImage',
    'BatchGetImage GetDownloadUrlForLayer',
  ),
}

/** Lookups of the configuration: the hosted zone, zones, the AMI and the memory of instance types. */
export const lookupRights = [
  'route53:ListHostedZones',
  'route53:ListTagsForResource',
  'ec2:DescribeAvailabilityZones',
  'ec2:DescribeInstanceTypes',
  'ssm:GetParameter',
]

/** What SST calls for itself, by resource (sst.dev/docs/iam-credentials, and its provider for AWS). */
export const sstRights = [
  ...[
    ...each(
      's3',
      'CreateBucket PutBucketVersioning PutBucketNotification ListBucket GetObject PutObject DeleteObject',
    ),
  ].flatMap((action) => [
    { action, resource: `arn:aws:s3:::sst-state-abcdef${action.endsWith('Object') ? '/app/millrace' : ''}` },
    { action, resource: `arn:aws:s3:::sst-asset-abcdef${action.endsWith('Object') ? '/asset' : ''}` },
  ]),
  ...each('ssm', 'GetParameter PutParameter').flatMap((action) => [
    { action, resource: 'arn:aws:ssm:us-east-1:123456789012:parameter/sst/bootstrap' },
    { action, resource: 'arn:aws:ssm:us-east-1:123456789012:parameter/sst/passphrase/millrace/production' },
  ]),
  ...each('ecr', 'CreateRepository DescribeRepositories').map((action) => ({
    action,
    resource: 'arn:aws:ecr:us-east-1:123456789012:repository/sst-asset',
  })),
]

/** Rights that `sst remove` needs besides, to delete the files of a stage. */
export const removalRights = each(
  's3',
  'ListBucketVersions ListBucketMultipartUploads DeleteObject DeleteObjectVersion AbortMultipartUpload',
)

/** The documentation of WAF and of ElastiCache lists these for logs that AWS delivers to a log group. */
function logDelivery(): string[] {
  return each(
    'logs',
    'CreateLogDelivery GetLogDelivery UpdateLogDelivery DeleteLogDelivery ListLogDeliveries PutResourcePolicy',
    'DescribeResourcePolicies DescribeLogGroups',
  )
}

function each(service: string, ...names: string[]): string[] {
  return names.flatMap((text) => text.split(' ')).map((name) => `${service}:${name}`)
}

function crud(service: string, noun: string): string[] {
  return ['Create', 'Get', 'Update', 'Delete'].map((verb) => `${service}:${verb}${noun}`)
}
