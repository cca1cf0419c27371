import { beforeEach } from 'vitest';
import { connection } from '../state/connection';

beforeEach(() => {
  // neither Node nor jsdom makes URLs of files
  URL.createObjectURL = () => 'blob:preview';
  URL.revokeObjectURL = () => undefined;
  connection.reached();
});
