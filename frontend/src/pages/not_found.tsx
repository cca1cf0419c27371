import { Link } from 'react-router';
import { buttonClass } from '../components/button';
import { PageHeading } from '../components/page';

export function NotFoundPage() {
  return (
    <>
      <PageHeading title="There is no such page">The address is wrong, or what was here has moved.</PageHeading>
      <Link to="/jobs" className={buttonClass('primary')}>
        To the jobs
      </Link>
    </>
  );
}
