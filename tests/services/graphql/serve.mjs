// Apollo Server, with array batching on.

import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { GraphQLError } from "graphql";

const typeDefs = `
  type Query {
    greeting(name: String!): String!
    broken: String
    forbidden: String
  }
  type Mutation {
    add(counter: String!, number: Int!): Int!
  }
`;

const counters = new Map();
const resolvers = {
  Query: {
    greeting: (_, { name }) => `Hello, ${name}`,
    broken: () => {
      throw new GraphQLError("It is broken", { extensions: { code: "BROKEN" } });
    },
    forbidden: () => {
      throw new GraphQLError("It is forbidden", { extensions: { code: "FORBIDDEN", http: { status: 403 } } });
    },
  },
  Mutation: {
    add: (_, { counter, number }) => {
      counters.set(counter, (counters.get(counter) ?? 0) + number);
      return counters.get(counter);
    },
  },
};

const server = new ApolloServer({
  typeDefs,
  resolvers,
  allowBatchedHttpRequests: true,
  includeStacktraceInErrorResponses: false,
});
await startStandaloneServer(server, { listen: { host: "127.0.0.1", port: Number(process.argv[2]) } });
