// One process for all of these, because building the clouds takes as long as checking them.
import './stages.ts'
import './network.ts'
import './load-balancer.ts'
import './tiers.ts'
import './data.ts'
import './roles.ts'
import './monitoring.ts'
import './all-resources.ts'
