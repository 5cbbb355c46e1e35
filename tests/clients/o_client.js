// Use o.js as an application does: `node o_client.js ROOT ID AUTHORIZATION` prints the results as JSON.
const { o } = require('odata')
const [root, id, authorization] = process.argv.slice(2)

const punch = (employeeId) => ({ employeeId, employerId: 9, includedAt: '2026-11-22T08:00:00Z' })
const headers = () => new Headers({ 'Content-Type': 'application/json', Authorization: authorization })
const service = (config = {}) => {
  const client = o(root, { headers: headers(), ...config })
  client.config.batch.headers.set('Authorization', authorization)
  return client
}

async function pageSizes() {
  const sizes = []
  let next = `${root}PointRecords?$filter=employeeId le 25`
  while (next) {
    const page = await (await o(next, { headers: headers() }).get().fetch()).json()
    sizes.push(page.value.length)
    next = page['@odata.nextLink']
  }
  return sizes
}

async function rejection() {
  try {
    await service().post('PointRecords', punch('x')).query()
    return null
  } catch (response) {
    return { status: response.status, ...(await response.json()) }
  }
}

async function main() {
  const results = {
    entity: await service().get(`PointRecords(${id})`).query(),
    filtered: await service()
      .get('PointRecords')
      .query({
        $filter: "employeeId gt 4 and employeeId lt 12 and contains(deviceId,'phone')",
        $orderby: 'employeeId desc',
        $top: 3,
      }),
    expanded: await service().get(`PointRecords(${id})`).query({ $expand: 'logs' }),
    pages: await pageSizes(),
    count: await service().get('PointRecords/$count').query({ $filter: 'employeeId le 25' }),
    created: await service().post('PointRecords', punch(3001)).query(),
    rejection: await rejection(),
    batch: await service()
      .get(`PointRecords(${id})`)
      .get('PointRecords?$top=2')
      .batch(),
    changes: await service({ batch: { ...service().config.batch, useChangset: true } })
      .post('PointRecords', punch(3002))
      .post('PointRecords', punch(3003))
      .batch(),
  }
  console.log(JSON.stringify(results))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
